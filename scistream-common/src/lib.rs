//! The ABI between the eBPF programs and the daemon: what both sides of the kernel boundary read.
//!
//! Layouts are `repr(C)` without padding and their sizes are asserted. The decision whether a
//! segment may be redirected is here too, as a pure function, so that the host tests what the
//! kernel runs.
#![no_std]

pub mod limits;
mod local;
pub mod names;
mod notice;
mod room;
mod shared_word;
mod slot;

pub use local::{LocalEnds, LocalSocket, hop_is_empty};
pub use notice::Notice;
pub use room::{Decline, Egress, Flow, TCP_CLOSE_WAIT, TCP_ESTABLISHED, decide};
pub use shared_word::SharedWord;
pub use slot::DirectionSlot;
