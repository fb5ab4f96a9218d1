//! How many of everything there is: what metrics show of the sessions.

use super::phase::Phase;
use super::rate::Rate;

/// The sessions, ports and rates of a gateway, counted at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Census {
    /// Sessions in each phase of [`Phase::ALL`].
    pub sessions: [usize; Phase::ALL.len()],
    /// Ports that sessions have.
    pub ports_used: usize,
    /// Ports that can be taken; `None` when the kernel chooses them.
    pub ports_free: Option<usize>,
    /// Ports that rest between two sessions; `None` when the kernel chooses them.
    pub ports_resting: Option<usize>,
    /// What the sessions reserve together, in each direction.
    pub reserved: Rate,
    /// What can still be reserved; `None` when nobody said what the gateway can move.
    pub left: Option<Rate>,
}
