//! Why a call about a session was refused: a closed set, which one table of the control plane turns
//! into status codes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::event::ChangeCode;
use super::id::SessionId;

/// Longest excerpt of a refused value in an error, characters.
const EXCERPT_CHARS: usize = 64;

/// Why a call was refused; each displays as one sentence for the caller.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// A field cannot be what it is: `INVALID_ARGUMENT`.
    #[error("{field} cannot be {value}: expected {allowed}")]
    BadField {
        /// The field as the protocol calls it.
        field: &'static str,
        /// What was sent, shortened and printable.
        value: Excerpt,
        /// What is allowed.
        allowed: Cow<'static, str>,
    },
    /// The session ended while its caller waited: `ABORTED`.
    #[error("session {id} ended before it was ready: {why}")]
    Ended {
        /// Its uid.
        id: SessionId,
        /// What ended it.
        why: ChangeCode,
    },
    /// Not enough is left of something: `RESOURCE_EXHAUSTED`, with a retry hint.
    #[error("not enough {what}: {wanted} wanted, {left} left; {}", RetryHint(*retry_after))]
    Exhausted {
        /// Of what.
        what: Resource,
        /// How much was asked for, in the resource's unit.
        wanted: u64,
        /// How much is left, in the resource's unit.
        left: u64,
        /// When asking again makes sense; `None` when it depends on others.
        retry_after: Option<Duration>,
    },
    /// There is such a session already: `ALREADY_EXISTS`.
    #[error("session {id} exists already; release it, or choose another uid")]
    Exists {
        /// Its uid.
        id: SessionId,
    },
    /// Nobody said hello in time: `DEADLINE_EXCEEDED`.
    #[error("no hello came for session {id} within {} s; it was released", waited.as_secs())]
    HelloTimeout {
        /// Its uid.
        id: SessionId,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It belongs to someone else: `PERMISSION_DENIED`.
    #[error("session {id} belongs to someone else; its owner or an admin may do that")]
    NotOwner {
        /// Its uid.
        id: SessionId,
    },
    /// It, the gateway or a target cannot serve now: `UNAVAILABLE`.
    #[error("{0}")]
    Unavailable(Unavailable),
    /// There is no such session: `NOT_FOUND`.
    #[error("there is no session {id}; it may have ended")]
    Unknown {
        /// The uid asked for.
        id: SessionId,
    },
}

/// What can run out.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Resource {
    /// Bandwidth to reserve, in bytes per second: of the gateway, or of the caller's quota.
    Bandwidth,
    /// Ports of the pool.
    Ports,
    /// Sessions of the gateway, or of the caller's quota.
    Sessions,
}

/// What cannot serve now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// The session is on its way out.
    #[error("session {0} was released and drains; make another one")]
    Draining(SessionId),
    /// The gateway is.
    #[error("the gateway is stopping and takes no sessions; use another one")]
    Stopping,
    /// A target's name has no address.
    #[error("target {target} cannot be resolved: {cause}; check the name, or give an IP address")]
    Target {
        /// The target.
        target: String,
        /// What the resolver answered.
        cause: String,
    },
}

/// A value from outside, cut to a length that fits a line and made printable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt(String);

impl SessionError {
    /// A refused field.
    pub fn bad_field(
        field: &'static str,
        value: impl fmt::Display,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::BadField {
            field,
            value: Excerpt::of(value),
            allowed: allowed.into(),
        }
    }
}

impl Resource {
    /// The name in sentences and metrics, with its unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth (B/s)",
            Self::Ports => "ports",
            Self::Sessions => "sessions",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Excerpt {
    fn of(value: impl fmt::Display) -> Self {
        let value = value.to_string();
        let escaped = value.chars().flat_map(char::escape_debug);
        let mut text: String = escaped.take(EXCERPT_CHARS).collect();
        if value.chars().nth(EXCERPT_CHARS).is_some() {
            text.push('…');
        }
        Self(text)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "`{text}`")
    }
}

struct RetryHint(Option<Duration>);

impl fmt::Display for RetryHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "try again in {:.1} s", after.as_secs_f64()),
            None => f.write_str("ask for less, or try again when other sessions have ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_or_hostile_value_is_cut_and_escaped() {
        let error = SessionError::bad_field("uid", "x".repeat(1 << 20), "less");
        assert!(error.to_string().len() < 200);
        let error = SessionError::bad_field("uid", "a\r\n\u{1b}[31m", "less");
        assert_eq!(
            error.to_string(),
            "uid cannot be `a\\r\\n\\u{1b}[31m`: expected less"
        );
    }
}
