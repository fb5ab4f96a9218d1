//! A session as it outlives the process that has it.

use std::sync::Arc;
use std::time::Instant;

use super::caller::Principal;
use super::exchange::Terms;
use super::request::CreateSession;
use super::target::Target;

/// Everything by which a session comes back: what it was granted, and how far it was. Connections
/// and whoever waits for it do not come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedSession {
    /// What holds for it.
    pub terms: Arc<Terms>,
    /// Whose it is.
    pub owner: Principal,
    /// What was asked for, to know a repetition by.
    pub request: Arc<CreateSession>,
    /// The ports of its listeners, as they were bound.
    pub ports: Vec<u16>,
    /// Where its listeners send to, one for each; empty before the first update.
    pub targets: Vec<Target>,
    /// What its application said in `hello`.
    pub announced: Vec<Target>,
    /// When it was made.
    pub created: Instant,
    /// When a byte last moved, as far as anyone said.
    pub active: Instant,
    /// When its lifetime is over.
    pub expires: Option<Instant>,
}

impl SavedSession {
    /// Whether its numbers agree: as many ports as listeners, and a target for each or for none.
    pub fn adds_up(&self) -> bool {
        let listeners = self.ports.len();
        listeners > 0
            && listeners == self.terms.listeners
            && !self.ports.contains(&0)
            && (self.targets.is_empty() || self.targets.len() == listeners)
    }
}
