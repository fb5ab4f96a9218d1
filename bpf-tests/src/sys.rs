//! The only unsafe code of the lab: what runs between fork and exec of a child, and the handler of
//! the signals that end this process. Everything handed out is safe to call.
#![expect(
    unsafe_code,
    reason = "pre_exec and sigaction have no safe form in std or rustix"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Signal;
use rustix::thread::{CpuSet, LinkNameSpaceType};

/// Makes `command` start inside the network namespace that `namespace` is open on.
pub fn start_inside(command: &mut Command, namespace: Arc<OwnedFd>) {
    let enter = move || {
        rustix::thread::move_into_link_name_space(
            namespace.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?;
        Ok(())
    };
    // SAFETY: the closure makes one system call on a descriptor that lives as long as the closure;
    // it neither allocates nor locks, so it is sound between fork and exec of a threaded process.
    unsafe { command.pre_exec(enter) };
}

/// Makes `command` get SIGKILL when the thread that spawns it ends, and end by the signals that end
/// a process: under nohup or in the background of a script it would inherit that they are ignored.
pub fn die_with_spawner(command: &mut Command) {
    let parent = rustix::process::getpid();
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        for signal in ENDING_SIGNALS {
            set_disposition(signal, libc::SIG_DFL)?;
        }
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            // The spawner was gone before the signal was armed.
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: the closure makes a few system calls on values it owns and builds an error without
    // allocating, so it is sound between fork and exec of a threaded process.
    unsafe { command.pre_exec(bind) };
}

/// Makes `command` run on these CPUs only, as do the threads it will start.
pub fn start_on_cpus(command: &mut Command, cpus: &[usize]) {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    let pin = move || {
        rustix::thread::sched_setaffinity(None, &set)?;
        Ok(())
    };
    // SAFETY: the closure makes one system call on a value it owns; it neither allocates nor
    // locks, so it is sound between fork and exec of a threaded process.
    unsafe { command.pre_exec(pin) };
}

/// Where the signal handler writes; -1 until armed.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

/// The signals whose default is to end the process and that a person or a CI runner sends.
pub const ENDING_SIGNALS: [Signal; 3] = [Signal::HUP, Signal::INT, Signal::TERM];

/// From here on each of [`ENDING_SIGNALS`] that is not ignored writes its number, as one byte, to
/// `pipe` instead of ending the process.
///
/// # Errors
/// What sigaction(2) answers.
pub fn divert_ending_signals(pipe: OwnedFd) -> io::Result<()> {
    SIGNAL_PIPE.store(pipe.as_raw_fd(), Ordering::SeqCst);
    // The handler may run until the process is gone.
    std::mem::forget(pipe);
    for signal in ENDING_SIGNALS {
        if !disposition_is_ignore(signal)? {
            set_disposition(
                signal,
                write_signal_number as *const () as libc::sighandler_t,
            )?;
        }
    }
    Ok(())
}

/// Ends this process by `signal`, as if it had never been diverted.
///
/// # Errors
/// What sigaction(2) or kill(2) answers; on success the process ends.
pub fn end_by_signal(signal: Signal) -> io::Result<()> {
    set_disposition(signal, libc::SIG_DFL)?;
    rustix::process::kill_process(rustix::process::getpid(), signal)?;
    Ok(())
}

extern "C" fn write_signal_number(signal: libc::c_int) {
    let pipe: RawFd = SIGNAL_PIPE.load(Ordering::SeqCst);
    let byte = u8::try_from(signal).unwrap_or_default();
    // SAFETY: write(2) is async-signal-safe, `byte` is one readable byte, and the descriptor was
    // given up by `divert_ending_signals`, so nobody closes it.
    unsafe { libc::write(pipe, std::ptr::from_ref(&byte).cast(), 1) };
}

fn disposition_is_ignore(signal: Signal) -> io::Result<bool> {
    let mut current = empty_action();
    // SAFETY: a null new action only asks; `current` is a valid place for the answer.
    let answer = unsafe { libc::sigaction(signal.as_raw(), std::ptr::null(), &mut current) };
    if answer == 0 {
        Ok(current.sa_sigaction == libc::SIG_IGN)
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_disposition(signal: Signal, handler: libc::sighandler_t) -> io::Result<()> {
    let mut action = empty_action();
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is fully initialised, and `handler` is SIG_DFL or a function of the type
    // that an action without SA_SIGINFO wants; a null old action is allowed.
    let answer = unsafe { libc::sigaction(signal.as_raw(), &action, std::ptr::null_mut()) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn empty_action() -> libc::sigaction {
    // SAFETY: sigaction is a plain C structure for which all zeroes is SIG_DFL with an empty mask.
    unsafe { std::mem::zeroed() }
}
