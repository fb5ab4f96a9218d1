//! The counters of one direction, shared by the verdict program and the daemon.

/// One direction's counters. Each field has one writer, named in its text; the other side reads.
///
/// The program's fields and the daemon's lie on cache lines of their own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct DirectionSlot {
    /// Program: bytes redirected to the egress socket's backlog.
    pub redirected: u64,
    /// Program: bytes passed to user space.
    pub passed: u64,
    /// Program: the egress socket's `write_seq` at the first verdict.
    pub write_base: u32,
    /// Program: 1 once `write_base` holds.
    pub latched: u32,
    /// Program: 1 while it passes.
    pub passing: u32,
    /// Program: how often it went from redirecting to passing.
    pub flips: u32,
    reserved_program: [u64; 4],
    /// Daemon: of `passed`, the bytes it has written to the egress socket.
    pub forwarded: u64,
    /// Daemon: cookie of the egress socket.
    pub egress_cookie: u64,
    /// Daemon: counts the uses of this slot.
    pub generation: u32,
    /// Daemon: 1 when the program shall pass everything.
    pub pass_all: u32,
    /// Daemon, same-host hop only: the application's first sequence number.
    pub send_base: u32,
    reserved_daemon: [u32; 9],
}

const _: () = assert!(size_of::<DirectionSlot>() == 128);
const _: () = assert!(core::mem::offset_of!(DirectionSlot, forwarded) == 64);
