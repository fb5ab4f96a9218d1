//! Decisions: one pass over the rules, with the reason each one did not grant what was asked.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::session::Network;

use super::{Maxima, Permission, Policy, Rule, Subject};

/// What a caller asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// To have a session on this side.
    pub permission: Permission,
    /// How many listeners.
    pub listeners: u32,
    /// What it reserves, or wants as its limit, whichever is more; bits per second.
    pub rate_bps: u64,
    /// How long; `None` for as long as may be.
    pub lifetime: Option<Duration>,
    /// Who may connect; empty for whoever the rule lets in.
    pub sources: Vec<Network>,
    /// Where to.
    pub targets: Vec<AskedTarget>,
}

/// A target with the addresses that it has at this moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AskedTarget {
    /// Its name, if it was not given as an address.
    pub name: Option<String>,
    /// Its addresses; one, if it was given so.
    pub addresses: Vec<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for AskedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            addresses,
            port,
        } = self;
        match (name, addresses.first()) {
            (Some(name), _) => write!(f, "{name}:{port}"),
            (None, Some(IpAddr::V6(address))) => write!(f, "[{address}]:{port}"),
            (None, Some(IpAddr::V4(address))) => write!(f, "{address}:{port}"),
            (None, None) => write!(f, "?:{port}"),
        }
    }
}

/// By what a target was let through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pass {
    /// Its addresses: only those may be dialled, whatever its name means later.
    ByAddress,
    /// Its name: whatever addresses that has.
    ByName,
}

/// What is granted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// The rule that grants; none where there are no rules.
    pub rule: Option<String>,
    /// The most the session gets.
    pub maxima: Maxima,
    /// Who may connect to its listeners; empty for everyone.
    pub sources: Vec<Network>,
    /// By what each target passed, in the order asked.
    pub passes: Vec<Pass>,
}

/// Why a rule does not grant a request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denial {
    /// Too long.
    #[error("it allows sessions of at most {most:?}, not {asked:?}")]
    Lifetime {
        /// What was asked for.
        asked: Duration,
        /// What is allowed.
        most: Duration,
    },
    /// Too many listeners.
    #[error("it allows at most {most} listeners in a session, not {asked}")]
    Listeners {
        /// What was asked for.
        asked: u32,
        /// What is allowed.
        most: u32,
    },
    /// No rule is for the caller.
    #[error("no rule is for this caller")]
    NotForCaller,
    /// The rule does not permit that.
    #[error("it does not grant the role `{}`", .0.as_str())]
    Permission(Permission),
    /// Too much.
    #[error("it allows at most {most} bit/s for a session, not {asked}")]
    Rate {
        /// What was asked for.
        asked: u64,
        /// What is allowed.
        most: u64,
    },
    /// Sources that the rule does not let in.
    #[error("it does not let {0} connect")]
    Source(Network),
    /// A target that the rule does not allow.
    #[error("it does not allow the target {0}")]
    Target(AskedTarget),
}

/// An answer, and how it came about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The answer; a denial is that of the first rule for the caller.
    pub outcome: Result<Grant, Denial>,
    /// The rules that did not grant, with why, in their order.
    pub considered: Vec<(String, Denial)>,
}

impl Policy {
    /// Whether some rule grants the caller a role that is not about sessions of its own.
    pub fn permits(&self, caller: &Subject, permission: Permission) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.is_for(caller) && rule.permits(permission))
    }

    /// Decides what a caller asks for.
    pub fn decide(&self, caller: &Subject, asked: &Asked) -> Decision {
        if self.rules.is_empty() {
            return Decision {
                outcome: Ok(Grant::without_rules(asked)),
                considered: Vec::new(),
            };
        }
        let mut considered = Vec::new();
        for rule in &self.rules {
            match rule.grants(caller, asked) {
                Ok(grant) => {
                    return Decision {
                        outcome: Ok(grant),
                        considered,
                    };
                }
                Err(denial) => considered.push((rule.name.clone(), denial)),
            }
        }
        let denials = considered.iter().map(|(_rule, denial)| denial);
        let closest = denials
            .clone()
            .find(|denial| **denial != Denial::NotForCaller);
        Decision {
            outcome: Err(closest.cloned().unwrap_or(Denial::NotForCaller)),
            considered,
        }
    }
}

impl Grant {
    fn without_rules(asked: &Asked) -> Self {
        Self {
            rule: None,
            maxima: Maxima::default(),
            sources: asked.sources.clone(),
            passes: vec![Pass::ByName; asked.targets.len()],
        }
    }
}

impl Rule {
    fn grants(&self, caller: &Subject, asked: &Asked) -> Result<Grant, Denial> {
        if !self.is_for(caller) {
            return Err(Denial::NotForCaller);
        }
        if !self.permits(asked.permission) {
            return Err(Denial::Permission(asked.permission));
        }
        self.has_room_for(asked)?;
        let passes = asked.targets.iter().map(|target| self.lets_through(target));
        Ok(Grant {
            rule: Some(self.name.clone()),
            maxima: self.maxima,
            sources: self.sources_of(asked)?,
            passes: passes.collect::<Result<_, _>>()?,
        })
    }

    fn has_room_for(&self, asked: &Asked) -> Result<(), Denial> {
        let Maxima {
            sessions: _,
            listeners,
            connections: _,
            rate_bps,
            lifetime,
        } = self.maxima;
        if let Some(most) = listeners.filter(|&most| asked.listeners > most) {
            let asked = asked.listeners;
            return Err(Denial::Listeners { asked, most });
        }
        if let Some(most) = rate_bps.filter(|&most| asked.rate_bps > most) {
            let asked = asked.rate_bps;
            return Err(Denial::Rate { asked, most });
        }
        if let (Some(asked), Some(most)) = (asked.lifetime, lifetime)
            && asked > most
        {
            return Err(Denial::Lifetime { asked, most });
        }
        Ok(())
    }

    fn sources_of(&self, asked: &Asked) -> Result<Vec<Network>, Denial> {
        if asked.sources.is_empty() || self.sources.is_empty() {
            let either = if asked.sources.is_empty() {
                &self.sources
            } else {
                &asked.sources
            };
            return Ok(either.clone());
        }
        for source in &asked.sources {
            if !self.sources.iter().any(|allowed| allowed.covers(source)) {
                return Err(Denial::Source(*source));
            }
        }
        Ok(asked.sources.clone())
    }

    fn lets_through(&self, target: &AskedTarget) -> Result<Pass, Denial> {
        let AskedTarget {
            name,
            addresses,
            port,
        } = target;
        let by_name = |name: &String| {
            let mut patterns = self.targets.iter();
            patterns.any(|pattern| pattern.matches_name(name, *port))
        };
        if self.targets.is_empty() || name.as_ref().is_some_and(by_name) {
            return Ok(Pass::ByName);
        }
        let by_address = |address: &IpAddr| {
            let mut patterns = self.targets.iter();
            patterns.any(|pattern| pattern.matches_address(*address, *port))
        };
        // Of several addresses each must be allowed: any of them may be dialled.
        if !addresses.is_empty() && addresses.iter().all(by_address) {
            return Ok(Pass::ByAddress);
        }
        Err(Denial::Target(target.clone()))
    }
}

#[cfg(test)]
mod tests;
