//! The counters of one direction, shared by the programs and the daemon.

use crate::SharedWord;

/// One direction's counters. Each field has one writer, named in its text; the other side reads.
///
/// The programs' fields and the daemon's lie on cache lines of their own.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct DirectionSlot {
    /// Program: bytes redirected to the egress socket.
    pub redirected: SharedWord,
    /// Program: bytes passed to user space.
    pub passed: SharedWord,
    /// Program: the egress socket's `write_seq` before the direction's first byte.
    pub write_base: SharedWord,
    /// Program: 1 once `write_base` holds.
    pub latched: SharedWord,
    /// Program: 1 while it passes; [`Self::REPEATED`] once it could not cut bytes that came before.
    pub passing: SharedWord,
    /// Program: how often it went from redirecting to passing.
    pub flips: SharedWord,
    /// Program, same-host hop only: the egress socket's kernel address, for reading only. It dangles
    /// once the socket is gone, and reads of it then tell nonsense, which costs a detour and no more.
    pub egress_address: SharedWord,
    /// Program: the sequence number that the next byte of this direction must have, plus
    /// [`Self::SEQUENCE_KNOWN`].
    pub next_seq: SharedWord,
    /// Daemon: of `passed`, the bytes it has written to the egress socket.
    pub forwarded: SharedWord,
    /// Daemon: cookie of the egress socket.
    pub egress_cookie: SharedWord,
    /// Daemon: counts the uses of this slot.
    pub generation: SharedWord,
    /// Daemon, same-host hop only: the application's first sequence number.
    pub send_base: SharedWord,
    reserved_daemon: [u64; 4],
}

const _: () = assert!(size_of::<DirectionSlot>() == 128);
const _: () = assert!(core::mem::offset_of!(DirectionSlot, forwarded) == 64);

impl DirectionSlot {
    /// Set in `next_seq` once it holds a sequence number.
    pub const SEQUENCE_KNOWN: u64 = 1 << 32;
    /// Set in `passing` when a segment was passed with bytes that had come before: the stream cannot
    /// be continued, only reset.
    pub const REPEATED: u64 = 1 << 1;
}
