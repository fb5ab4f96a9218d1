//! How a stream ended, as its reader or writer saw it.

use std::fmt;
use std::io;

/// What the socket reported last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// End of file: the peer's FIN came.
    Finished,
    /// `ECONNRESET`, or the `EPIPE` that a writer sees after it: the peer's RST came.
    Reset,
}

impl Ending {
    /// The ending that this error stands for, if it is one.
    pub(super) fn from_error(error: &io::Error) -> Option<Self> {
        // io::ErrorKind is not exhaustive, so a match would need a wildcard.
        let reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        reset.contains(&error.kind()).then_some(Self::Reset)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "a FIN",
            Self::Reset => "an RST",
        })
    }
}
