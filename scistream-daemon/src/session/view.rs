//! A session as it is shown to its owner.

use std::net::SocketAddr;
use std::time::Duration;

use super::caller::Principal;
use super::id::{Label, SessionId};
use super::network::Network;
use super::phase::Phase;
use super::rate::Rate;
use super::request::Role;
use super::target::Target;

/// A session at one moment, without its traffic.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionView {
    /// Its uid.
    pub id: SessionId,
    /// Whose it is.
    pub owner: Principal,
    /// Which side this gateway is on.
    pub role: Role,
    /// Where it is in its life.
    pub phase: Phase,
    /// The same, and why, for people: one sentence.
    pub sentence: String,
    /// What people call it.
    pub label: Option<Label>,
    /// Its listeners as they are bound; on more than one address, the first address of each.
    pub listeners: Vec<SocketAddr>,
    /// Where the listeners send to, one for each; empty before the first update.
    pub targets: Vec<Target>,
    /// What its application said in `hello`.
    pub announced: Vec<Target>,
    /// Who may connect; empty for everyone.
    pub sources: Vec<Network>,
    /// The rate it reserves; zero for a best-effort session.
    pub reserved: Rate,
    /// The rate it may not exceed in either direction.
    pub max_rate: Option<Rate>,
    /// Connections at once.
    pub max_connections: Option<u32>,
    /// Since it was made.
    pub age: Duration,
    /// Until its lifetime is over; `None` for never.
    pub expires_in: Option<Duration>,
    /// Without a byte, it ends after this long.
    pub idle_timeout: Option<Duration>,
}
