//! What a case asks of the ground it runs on.

use crate::topology::{Family, LinkOptions};

/// What is started before a case begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Further arguments of `s2cs forward`.
    pub args: Vec<String>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// How the links behave; only on routed ground.
    pub link: LinkOptions,
    /// What is where the gateway dials.
    pub target: Target,
}

/// What the gateway meets when it dials.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// Nothing listens: the connection is refused.
    Absent,
    /// The listener's queue is full, so that the SYN is not answered until it is released.
    Late,
    /// A listener.
    Listening,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            args: Vec::new(),
            family: Family::V4,
            link: LinkOptions::default(),
            target: Target::Listening,
        }
    }
}

impl Setup {
    /// The default with these arguments of `s2cs forward`, separated by spaces.
    pub fn args(args: &str) -> Self {
        Self {
            args: args.split_whitespace().map(str::to_owned).collect(),
            ..Self::default()
        }
    }
}
