//! Errors as an operator reads them.

use std::error::Error;
use std::fmt;

/// An error with everything that led to it: `load failed: the kernel refused: EPERM`.
pub struct InFull<'a>(
    /// The error.
    pub &'a dyn Error,
);

impl fmt::Display for InFull<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        write!(f, "{error}")?;
        let mut cause = error.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn an_error_is_followed_by_its_causes() {
        let error = sys::Error::new("bind", std::io::Error::other("not today"));
        assert_eq!(InFull(&error).to_string(), "bind failed: not today");
    }
}
