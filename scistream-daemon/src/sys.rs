//! Layer 0: every system call that std and tokio do not wrap, and every `unsafe` of the daemon.
//!
//! Functions borrow descriptors (`AsFd`) or hand out owned ones, and their errors carry the call's
//! name, so that a line in the log says what the kernel refused.

pub mod caps;
pub mod heap;
pub mod interfaces;
pub mod rlimit;
pub mod shared_map;
pub mod sockopt;
pub mod tcp_info;
pub mod watched;

use std::io;

/// A system call that the kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{call} failed")]
pub struct Error {
    /// The call, with its option where it has one: `setsockopt(SO_LINGER)`.
    pub call: &'static str,
    /// What the kernel answered.
    pub source: io::Error,
}

impl Error {
    /// The error of `call`, from a rustix errno or an [`io::Error`].
    pub fn new(call: &'static str, source: impl Into<io::Error>) -> Self {
        Self {
            call,
            source: source.into(),
        }
    }

    /// The error of `call` that errno holds; to be called right after it.
    pub fn last(call: &'static str) -> Self {
        Self::new(call, io::Error::last_os_error())
    }
}

/// Keeps what the kernel answered, for callers that tell errors apart by it.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        error.source
    }
}
