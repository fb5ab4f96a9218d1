//! What happens to sessions, as it is told to whoever watches: a code for programs and a sentence for
//! people.

use std::fmt;
use std::time::Instant;

use super::caller::Principal;
use super::id::SessionId;
use super::phase::Phase;

/// Something happened to a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// Counts up by one for each change of the gateway, so that a gap is seen.
    pub sequence: u64,
    /// When.
    pub at: Instant,
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub owner: Principal,
    /// What it has become.
    pub phase: Phase,
    /// What happened, for programs.
    pub code: ChangeCode,
    /// What happened, for people: one sentence.
    pub sentence: String,
}

/// A number of things, as sentences have it.
pub(super) fn counted(number: usize, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

/// What can happen to a session. The label in logs, metrics and the event stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChangeCode {
    /// Its listeners are bound.
    Bound,
    /// Whoever asked for it went away before it was ready.
    CallerGone,
    /// Nothing of it is left.
    Closed,
    /// It was asked for and admitted.
    Created,
    /// Its drain time ran out; the connections left are reset.
    DrainTimedOut,
    /// Its application said hello.
    Hello,
    /// Nobody said hello in time.
    HelloTimedOut,
    /// No byte moved for its idle time.
    IdleExpired,
    /// Its lifetime is over.
    LifetimeExpired,
    /// It outlived the gateway's last run, and cannot be had again.
    Lost,
    /// Not enough ports could be bound.
    OpenFailed,
    /// A port of the pool could not be bound and was skipped.
    PortSkipped,
    /// Its owner, or an admin, released it.
    Released,
    /// It outlived the gateway's last run: its listeners are bound again.
    Restored,
    /// The gateway is stopping.
    Stopped,
    /// Its listeners have targets from now on.
    TargetsSet,
}

impl ChangeCode {
    /// The name in logs, metrics and the event stream.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::CallerGone => "caller_gone",
            Self::Closed => "closed",
            Self::Created => "created",
            Self::DrainTimedOut => "drain_timed_out",
            Self::Hello => "hello",
            Self::HelloTimedOut => "hello_timed_out",
            Self::IdleExpired => "idle_expired",
            Self::LifetimeExpired => "lifetime_expired",
            Self::Lost => "lost",
            Self::OpenFailed => "open_failed",
            Self::PortSkipped => "port_skipped",
            Self::Released => "released",
            Self::Restored => "restored",
            Self::Stopped => "stopped",
            Self::TargetsSet => "targets_set",
        }
    }
}

impl fmt::Display for ChangeCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
