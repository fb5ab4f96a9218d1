//! The one system call of the bench that neither std nor rustix offers.
#![expect(
    unsafe_code,
    reason = "sched_setscheduler has no safe wrapper in the crates of this tree"
)]

use std::io;

/// Moves the calling thread into `SCHED_IDLE`: it runs only while no other thread of its core
/// wants to. Errors when the kernel refuses.
pub(super) fn run_only_when_idle() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: pid 0 names the calling thread and `priority` is a valid, initialised sched_param
    // that outlives the call; SCHED_IDLE asks for priority 0.
    let status = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
