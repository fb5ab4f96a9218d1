//! Who asks, and how much they may have. Authentication and policy come before: what is here is
//! their outcome.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::network::Network;
use super::rate::Rate;

/// An authenticated identity, opaque here, such as `urn:globus:auth:identity:…`. Sessions belong to
/// one.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Principal(Arc<str>);

/// Who makes a call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose sessions it makes and may touch.
    pub principal: Principal,
    /// Whether it may touch everyone's.
    pub admin: bool,
    /// What its sessions may use.
    pub quota: Quota,
}

/// What the sessions of a caller may use; `None` for no limit of its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// Sessions at once.
    pub sessions: Option<u32>,
    /// Connections at once, in each session.
    pub connections: Option<u32>,
    /// Cap on the rate of each session and direction. A session that asks for no cap, or a higher
    /// one, gets this one.
    pub rate: Option<Rate>,
    /// Sum of the rates that its sessions reserve.
    pub reserved: Option<Rate>,
    /// How long each session may last.
    pub lifetime: Option<Duration>,
    /// The networks that may connect to its listeners; `None` for all. A session may narrow it.
    pub sources: Option<Vec<Network>>,
}

impl Principal {
    /// The identity called `name`.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Caller {
    /// A caller without limits of its own.
    pub fn unlimited(principal: Principal) -> Self {
        Self {
            principal,
            admin: false,
            quota: Quota::default(),
        }
    }

    /// Whether it may touch what belongs to `owner`.
    pub(crate) fn may_touch(&self, owner: &Principal) -> bool {
        self.admin || self.principal == *owner
    }
}
