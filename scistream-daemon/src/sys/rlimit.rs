//! The limit on open descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::sys::Error;

/// `RLIMIT_NOFILE`; `u64::MAX` stands for no limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenFiles {
    /// What the kernel enforces.
    pub soft: u64,
    /// How far `soft` may be raised without privilege.
    pub hard: u64,
}

impl OpenFiles {
    /// The limit now in force.
    pub fn current() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self {
            soft: current.unwrap_or(u64::MAX),
            hard: maximum.unwrap_or(u64::MAX),
        }
    }

    /// Sets the limit of this process.
    ///
    /// # Errors
    /// When `soft` is above `hard`, or `hard` would grow without the privilege to.
    pub fn set(self) -> Result<(), Error> {
        let limit = Rlimit {
            current: Some(self.soft),
            maximum: Some(self.hard),
        };
        setrlimit(Resource::Nofile, limit)
            .map_err(|errno| Error::new("setrlimit(RLIMIT_NOFILE)", errno))
    }

    /// Raises the soft limit towards `wanted`, and the hard limit with it where that is permitted.
    /// Returns the limit then in force.
    pub fn raise_towards(wanted: u64) -> Self {
        let before = Self::current();
        let full = Self {
            soft: before.soft.max(wanted),
            hard: before.hard.max(wanted),
        };
        let within_hard = Self {
            soft: before.hard.min(wanted).max(before.soft),
            hard: before.hard,
        };
        if full.set().is_err() && within_hard.set().is_err() {
            return before;
        }
        Self::current()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_to_what_is_there_changes_nothing() {
        let before = OpenFiles::current();
        assert_eq!(OpenFiles::raise_towards(1), before);
        assert!(before.soft <= before.hard);
    }
}
