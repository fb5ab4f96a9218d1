//! Proves at start, on loopback, that this kernel's sockmap does what the plane needs.
//!
//! Version numbers do not tell: distributions port fixes back and forth. So one connection goes
//! through the real plane: a message is redirected, a reader stops until the sender is held back,
//! everything arrives in order once it reads again, and a FIN behind it is passed on.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::engine::{Engine, EngineConfig, EngineError};
use super::live::RelayOrder;
use super::sockmap::Program;
use super::{Direction, EndReason, PlaneChoice, StreamPair, Transferred};
use crate::sys::sockopt::{self, Buffer};

/// A healthy kernel needs some tens of milliseconds; a host that gives us little CPU gets more before
/// its kernel is declined for as long as we run.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a sender's socket has no room before it counts as held back.
const HELD_BACK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// Buffers of the sockets under test: small, so that a reader that stops is felt soon.
const BUFFER_BYTES: usize = 256 * 1024;
/// Goes against the bulk.
const MESSAGE: &[u8] = b"hello";
/// What a sender without back-pressure would get rid of.
const UNBOUNDED_BYTES: usize = 32 << 20;

/// What the kernel did wrong.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The test could not be set up.
    #[error("the self-test could not be set up")]
    SetUp(#[source] io::Error),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A call failed or took too long at the named step.
    #[error("the kernel did not {step} in time")]
    Step {
        /// What was to happen.
        step: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// Bytes arrived that were not sent there.
    #[error("bytes were lost, repeated or reordered at offset {0}")]
    Corrupt(usize),
    /// A sender was never held back.
    #[error("a stopped reader did not hold its sender back within {UNBOUNDED_BYTES} bytes")]
    Unbounded,
    /// The connection's own account is wrong.
    #[error(
        "the connection's account is wrong: {} to the upstream, {} back, ended as {}",
        .0.to_upstream, .0.to_downstream, .0.end.as_str()
    )]
    Ledger(Box<Transferred>),
}

/// The pattern's byte at `offset`; its period is prime to every power of two.
fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

/// Runs the test; answers how long it took.
///
/// # Errors
/// The first step that went wrong.
pub fn run(program: &Arc<Program>) -> Result<Duration, SelfTestError> {
    let started = Instant::now();
    let engine = Engine::start(EngineConfig {
        workers: 1,
        choice: PlaneChoice::Sockmap,
        program: Some(Arc::clone(program)),
        wide_pipes: 0,
    })?;
    let (mut sender, downstream) = connected().map_err(SelfTestError::SetUp)?;
    let (upstream, mut reader) = connected().map_err(SelfTestError::SetUp)?;
    for socket in [&downstream, &upstream] {
        socket.set_nonblocking(true).map_err(SelfTestError::SetUp)?;
    }
    let (report, ended) = mpsc::channel();
    let pair = StreamPair {
        downstream,
        upstream,
    };
    let order = RelayOrder::default();
    let live = Arc::clone(&order.live);
    engine.submit(pair, order, move |transferred| {
        let _gave_up_waiting = report.send(transferred);
    });

    let messages = send_until_redirected(program, &mut reader, &mut sender)?;
    let passed = || live.passed(Direction::ToUpstream);
    let sent = fill_until_held_back(&mut sender, passed, DEADLINE)?;
    step("pass a FIN on", || {
        sender.shutdown(std::net::Shutdown::Write)
    })?;
    check_all(&mut reader, sent)?;
    drop(reader);
    drop(sender);
    let transferred = step("end the connection", || {
        ended
            .recv_timeout(DEADLINE)
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
    })?;
    judge(transferred, sent, messages)?;
    Ok(started.elapsed())
}

fn step<T>(step: &'static str, action: impl FnOnce() -> io::Result<T>) -> Result<T, SelfTestError> {
    action().map_err(|source| SelfTestError::Step { step, source })
}

/// Sends messages against the bulk until the verdict has redirected one, the first ones coming
/// before the hand-over; answers how many.
fn send_until_redirected(
    program: &Program,
    from: &mut TcpStream,
    to: &mut TcpStream,
) -> Result<u64, SelfTestError> {
    let before = program.redirected();
    let started = Instant::now();
    let mut messages = 0;
    loop {
        step("pass a message on", || {
            from.write_all(MESSAGE)?;
            to.read_exact(&mut [0; MESSAGE.len()])
        })?;
        messages += 1;
        if program.redirected() > before {
            return Ok(messages);
        }
        step("redirect a message", || in_time(started, DEADLINE))?;
    }
}

/// Writes the pattern until the sender is held back, by a verdict that has `passed` bytes for want of
/// room; answers how much was written.
///
/// That nothing is taken for a while says little by itself: where CPU is short, in a virtual machine
/// that its host does not run, what should make room has only not had its turn. A chain left at
/// that point was never full, and a healthy kernel would be declined.
fn fill_until_held_back(
    sender: &mut TcpStream,
    passed: impl Fn() -> u64,
    deadline: Duration,
) -> Result<usize, SelfTestError> {
    let block: Vec<u8> = (0..251 * 256).map(pattern).collect();
    sender.set_nonblocking(true).map_err(SelfTestError::SetUp)?;
    let started = Instant::now();
    let mut sent = 0;
    loop {
        let taken = match sender.write(&block[sent % 251..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            outcome => outcome,
        };
        let taken = step("take bytes", || taken)?;
        sent += taken;
        if sent > UNBOUNDED_BYTES {
            return Err(SelfTestError::Unbounded);
        }
        if taken > 0 || gets_room(sender)? {
            continue;
        }
        if passed() > 0 {
            break;
        }
        step("pass what had no room", || in_time(started, deadline))?;
    }
    sender
        .set_nonblocking(false)
        .map_err(SelfTestError::SetUp)?;
    Ok(sent)
}

/// Whether the socket has room, or gets it within [`HELD_BACK`]. The kernel looks once more when the
/// time is over, so it makes no difference whether we ran meanwhile.
fn gets_room(sender: &TcpStream) -> Result<bool, SelfTestError> {
    let mut room = [PollFd::new(sender, PollFlags::OUT)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut room, Some(&HELD_BACK)));
    ready
        .map(|ready| ready > 0)
        .map_err(|errno| SelfTestError::SetUp(errno.into()))
}

/// Calls again after a signal: a socket with a time-out is not waited for anew by the kernel itself.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

fn in_time(started: Instant, deadline: Duration) -> io::Result<()> {
    if started.elapsed() > deadline {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

fn check_all(reader: &mut TcpStream, sent: usize) -> Result<(), SelfTestError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    loop {
        let count = step("deliver what was sent", || {
            uninterrupted(|| reader.read(&mut buffer))
        })?;
        if count == 0 {
            break;
        }
        let wrong = (0..count).find(|at| buffer[*at] != pattern(received + at));
        if let Some(at) = wrong {
            return Err(SelfTestError::Corrupt(received + at));
        }
        received += count;
    }
    if received == sent {
        Ok(())
    } else {
        Err(SelfTestError::Corrupt(received))
    }
}

fn judge(transferred: Transferred, sent: usize, messages: u64) -> Result<(), SelfTestError> {
    let Transferred {
        to_upstream,
        to_downstream,
        end,
    } = &transferred;
    let right = *end == EndReason::Finished
        && to_upstream.balances()
        && to_downstream.balances()
        && to_upstream.moved() == sent as u64
        && to_upstream.redirected > 0
        && to_upstream.copied > 0
        && to_downstream.moved() == messages * MESSAGE.len() as u64
        && to_downstream.redirected > 0;
    if right {
        Ok(())
    } else {
        Err(SelfTestError::Ledger(Box::new(transferred)))
    }
}

/// A connected pair on loopback with small buffers and a deadline on every call.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let dialled = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    for socket in [&dialled, &accepted] {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        sockopt::set_buffer(socket, Buffer::Send, BUFFER_BYTES)?;
        sockopt::set_buffer(socket, Buffer::Receive, BUFFER_BYTES)?;
    }
    Ok((dialled, accepted))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_sender_that_waits_is_not_held_back_before_the_verdict_passed_bytes() {
        let (mut sender, _reader) = connected().unwrap();
        let looks = Cell::new(0);
        let passed = || {
            looks.set(looks.get() + 1);
            u64::from(looks.get() > 3)
        };
        let sent = fill_until_held_back(&mut sender, passed, DEADLINE).unwrap();
        assert_eq!(looks.get(), 4);
        assert!(sent > BUFFER_BYTES, "{sent}");
    }

    #[test]
    fn a_verdict_that_never_passes_is_declined_in_words() {
        let (mut sender, _reader) = connected().unwrap();
        let error = fill_until_held_back(&mut sender, || 0, Duration::ZERO).unwrap_err();
        let words = error.to_string();
        assert_eq!(words, "the kernel did not pass what had no room in time");
    }
}
