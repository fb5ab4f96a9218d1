//! One session as the registry keeps it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::caller::Principal;
use super::super::exchange::{Terms, Ticket};
use super::super::phase::Phase;
use super::super::request::CreateSession;
use super::super::saved::SavedSession;
use super::super::target::Target;
use super::super::view::SessionView;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) terms: Arc<Terms>,
    pub(super) owner: Principal,
    /// What was asked for, to know a repetition by.
    pub(super) request: Arc<CreateSession>,
    pub(super) phase: Phase,
    pub(super) sentence: String,
    pub(super) listeners: Vec<Slot>,
    pub(super) listeners_closed: bool,
    pub(super) targets: Vec<Target>,
    pub(super) announced: Vec<Target>,
    /// Whose creates wait for it.
    pub(super) waiters: Vec<Waiter>,
    /// Whose releases wait for it.
    pub(super) releasing: Vec<Releasing>,
    /// What it was before the gateway's last end, while its listeners are being bound again.
    pub(super) revival: Option<Box<SavedSession>>,
    pub(super) times: Times,
    /// The deadline it has in the registry's queue.
    pub(super) armed: Option<Instant>,
}

/// When things happened to a session, or will.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) created: Instant,
    /// When a byte last moved, as far as anyone said.
    pub(super) active: Instant,
    pub(super) hello_timeout: Option<Duration>,
    pub(super) expires: Option<Instant>,
    pub(super) drained_by: Option<Instant>,
}

/// One of its listeners.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    /// A port was chosen (0 for any), and is being bound.
    Asked(u16),
    /// It listens; with the port as it was chosen.
    Bound(u16, SocketAddr),
    /// Its port went back to the pool.
    Closed,
}

/// A caller that waits for a session to be ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) existed: bool,
}

/// A caller that waits for a session to be gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Releasing {
    pub(super) ticket: Ticket,
    /// Closed listeners are enough: connections may go on.
    pub(super) drains: bool,
}

/// What a session's time being over means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Due {
    pub(super) at: Instant,
    pub(super) over: Over,
}

/// Which of its times is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Over {
    /// The time for its connections to end by themselves.
    Drain,
    /// The time for a hello.
    Hello,
    /// The time without a byte.
    Idle,
    /// Its lifetime.
    Lifetime,
}

impl Session {
    /// The next thing that time will do to it.
    pub(super) fn next_due(&self) -> Option<Due> {
        let due = |at, over| Due { at, over };
        let Times {
            created,
            active,
            hello_timeout,
            expires,
            drained_by,
        } = self.times;
        match self.phase {
            Phase::Draining => drained_by.map(|at| due(at, Over::Drain)),
            Phase::Opening | Phase::Ending | Phase::Closed => None,
            Phase::AwaitingHello | Phase::Ready | Phase::Forwarding => {
                let hello = hello_timeout
                    .filter(|_| self.phase == Phase::AwaitingHello)
                    .and_then(|timeout| created.checked_add(timeout))
                    .map(|at| due(at, Over::Hello));
                let idle = self.terms.idle_timeout;
                let idle = idle
                    .and_then(|timeout| active.checked_add(timeout))
                    .map(|at| due(at, Over::Idle));
                let expires = expires.map(|at| due(at, Over::Lifetime));
                let all = [hello, idle, expires].into_iter().flatten();
                all.min_by_key(|due| due.at)
            }
        }
    }

    /// As its owner sees it.
    pub(super) fn view(&self, now: Instant) -> SessionView {
        let terms = &self.terms;
        let bound = self.listeners.iter().filter_map(|slot| match slot {
            Slot::Bound(_, listen) => Some(*listen),
            Slot::Asked(_) | Slot::Closed => None,
        });
        SessionView {
            id: terms.id.clone(),
            owner: self.owner.clone(),
            role: self.request.role,
            phase: self.phase,
            sentence: self.sentence.clone(),
            label: self.request.label.clone(),
            listeners: bound.collect(),
            targets: self.targets.clone(),
            announced: self.announced.clone(),
            sources: terms.sources.clone(),
            reserved: terms.reserved,
            max_rate: terms.max_rate,
            max_connections: terms.max_connections,
            age: now.saturating_duration_since(self.times.created),
            expires_in: self
                .times
                .expires
                .map(|at| at.saturating_duration_since(now)),
            idle_timeout: terms.idle_timeout,
        }
    }

    /// Ports it holds of the pool.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.listeners.iter().filter_map(|slot| match *slot {
            Slot::Asked(port) | Slot::Bound(port, _) => Some(port),
            Slot::Closed => None,
        })
    }

    /// Whether all listeners are bound.
    pub(super) fn is_bound(&self) -> bool {
        let bound = |slot: &Slot| match slot {
            Slot::Bound(..) => true,
            Slot::Asked(_) | Slot::Closed => false,
        };
        self.listeners.iter().all(bound)
    }
}
