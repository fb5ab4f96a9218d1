//! Sessions that outlive the process: which are kept, and how they come back.
//!
//! ```text
//!   Ready, Forwarding ──Suspend──► kept ──(next process) Restore──► Opening ──bound──► as they were
//!                                   │                                  └──port taken──► lost
//!                                   └──release, Drain──► forgotten
//! ```
//!
//! A session comes back on its own ports or not at all: whoever connects there was told them. Its
//! times go on while no process runs, and what the settings no longer allow is lost, not squeezed in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::caller::Caller;
use super::super::census::Census;
use super::super::error::SessionError;
use super::super::event::{Change, ChangeCode};
use super::super::exchange::{Output, SessionKey, Ticket};
use super::super::id::SessionId;
use super::super::phase::{Phase, Step};
use super::super::request::Greeting;
use super::super::saved::SavedSession;
use super::super::view::SessionView;
use super::Registry;
use super::record::{Session, Slot, Times};

/// Why a session does not come back.
struct Gone {
    code: ChangeCode,
    why: String,
}

impl Gone {
    fn lost(why: impl Into<String>) -> Self {
        Self {
            code: ChangeCode::Lost,
            why: why.into(),
        }
    }
}

impl Registry {
    /// The sessions that would come back after this process, the oldest first: those that are ready
    /// or forward, and those that were when it was told to end. Sessions that wait for their hello
    /// do not: whoever asked for them is gone with the process.
    pub fn saved(&self) -> Vec<SavedSession> {
        let open = self.sessions.values().filter_map(Session::saved);
        self.kept.values().cloned().chain(open).collect()
    }

    /// Changes whenever [`Self::saved`] may have, other than by bytes that moved.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many of everything there is.
    pub fn census(&self, now: Instant) -> Census {
        let mut sessions = [0; Phase::ALL.len()];
        for (count, phase) in sessions.iter_mut().zip(Phase::ALL) {
            let all = self.sessions.values();
            *count = all.filter(|session| session.phase == phase).count();
        }
        let held = |session: &Session| session.ports().count();
        let (taken, resting) = (self.ports.taken(), self.ports.resting(now));
        let free = taken.zip(resting).map(|(taken, resting)| {
            let others = taken.saturating_add(resting);
            self.ports.most().saturating_sub(others)
        });
        Census {
            sessions,
            ports_used: taken.unwrap_or_else(|| self.sessions.values().map(held).sum()),
            ports_free: free,
            ports_resting: resting,
            reserved: self.reserved,
            left: self.config.capacity.map(|all| all.less(self.reserved)),
        }
    }

    /// Ends all sessions as the process does, and keeps those that come back.
    pub(super) fn suspend(&mut self, limit: Option<Duration>, now: Instant) {
        for (key, session) in &self.sessions {
            if let Some(saved) = session.saved() {
                self.kept.insert(*key, saved);
            }
        }
        self.revision += 1;
        self.let_all_go(limit, now);
    }

    /// Whether a session that ends comes back after this process.
    pub(super) fn is_kept(&self, key: SessionKey) -> bool {
        self.kept.contains_key(&key)
    }

    /// Keeps a session no longer.
    pub(super) fn forget_kept(&mut self, key: SessionKey) {
        if self.kept.remove(&key).is_some() {
            self.revision += 1;
        }
    }

    /// Keeps no session any longer.
    pub(super) fn forget_all_kept(&mut self) {
        self.kept.clear();
        self.revision += 1;
    }

    /// Releases a session of which nothing is left but that it would come back.
    pub(super) fn release_kept(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        id: &SessionId,
        now: Instant,
    ) {
        let kept = self.kept.iter().find(|(_, saved)| saved.terms.id == *id);
        let answer = match kept {
            None => Err(SessionError::Unknown { id: id.clone() }),
            Some((_, saved)) if !caller.may_touch(&saved.owner) => {
                Err(SessionError::NotOwner { id: id.clone() })
            }
            Some((key, saved)) => Ok((*key, closed_view(saved, now))),
        };
        let answer = answer.map(|(key, view)| {
            self.forget_kept(key);
            view
        });
        self.answer(ticket, answer);
    }

    /// A session comes back, if it still can.
    pub(super) fn restore(&mut self, saved: Box<SavedSession>, now: Instant) {
        let outcome = self
            .may_return(&saved, now)
            .and_then(|()| self.claim_ports(&saved, now));
        match outcome {
            Ok(()) => self.open_again(saved, now),
            Err(gone) => self.record_gone(&saved, gone, now),
        }
    }

    fn may_return(&self, saved: &SavedSession, now: Instant) -> Result<(), Gone> {
        let terms = &saved.terms;
        if !saved.adds_up() {
            return Err(Gone::lost("its record does not add up"));
        }
        let submission = saved.request.submission.as_ref();
        let name = submission.map(|submission| (saved.owner.clone(), submission.clone()));
        let repeated = name.is_some_and(|name| self.by_submission.contains_key(&name));
        if repeated || self.by_id.contains_key(&terms.id) {
            return Err(Gone::lost("another session has its uid or idempotency key"));
        }
        let over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if over(saved.expires) {
            let why = "its lifetime ended while the gateway was down".to_owned();
            let code = ChangeCode::LifetimeExpired;
            return Err(Gone { code, why });
        }
        let idle = terms.idle_timeout;
        if over(idle.and_then(|timeout| saved.active.checked_add(timeout))) {
            let why = "its idle time ended while the gateway was down".to_owned();
            let code = ChangeCode::IdleExpired;
            return Err(Gone { code, why });
        }
        let most = self.config.max_sessions;
        if self.sessions.len() >= most {
            let why = format!("the settings now allow {most} sessions at once");
            return Err(Gone::lost(why));
        }
        let left = self.config.capacity.map(|all| all.less(self.reserved));
        match left {
            Some(left) if left < terms.reserved => Err(Gone::lost(format!(
                "it reserves {}, and the settings now leave {left}",
                terms.reserved
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes all of its ports, or none.
    fn claim_ports(&mut self, saved: &SavedSession, now: Instant) -> Result<(), Gone> {
        for (index, port) in saved.ports.iter().enumerate() {
            if self.ports.claim(*port) {
                continue;
            }
            for claimed in saved.ports.iter().take(index) {
                self.ports.give_back(*claimed, now);
            }
            let why = format!(
                "its port {port} is none of the gateway's ports now, or another session has it"
            );
            return Err(Gone::lost(why));
        }
        Ok(())
    }

    fn open_again(&mut self, saved: Box<SavedSession>, now: Instant) {
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        let terms = Arc::clone(&saved.terms);
        self.outputs.push(Output::Prepare {
            key,
            terms: Arc::clone(&terms),
        });
        for (index, &port) in saved.ports.iter().enumerate() {
            self.outputs.push(Output::OpenListener { key, index, port });
        }
        self.enter(key, &saved.owner, &terms, &saved.request);
        let session = Session {
            owner: saved.owner.clone(),
            phase: Phase::Opening,
            sentence: "comes back after a restart of the gateway".to_owned(),
            listeners: saved.ports.iter().copied().map(Slot::Asked).collect(),
            listeners_closed: false,
            targets: Vec::new(),
            announced: saved.announced.clone(),
            waiters: Vec::new(),
            releasing: Vec::new(),
            times: Times {
                // A clock that was set back must not make it younger than new.
                created: saved.created.min(now),
                active: saved.active.min(now),
                hello_timeout: match saved.request.greeting {
                    Greeting::Awaited(limit) => Some(limit.unwrap_or(self.config.hello_timeout)),
                    Greeting::NotNeeded => None,
                },
                expires: saved.expires,
                drained_by: None,
            },
            armed: None,
            terms,
            request: Arc::clone(&saved.request),
            revival: Some(saved),
        };
        self.sessions.insert(key, session);
    }

    /// Its listeners are bound again: it goes on where it was.
    pub(super) fn revive(&mut self, key: SessionKey, saved: SavedSession, now: Instant) {
        let SavedSession { targets, .. } = saved;
        self.step(key, Step::Greet);
        let sentence = if targets.is_empty() {
            "came back after a restart of the gateway; it listens, and waits for targets".to_owned()
        } else {
            self.step(key, Step::Target);
            if let Some(session) = self.sessions.get_mut(&key) {
                session.targets.clone_from(&targets);
            }
            let listeners = targets.len();
            self.outputs.push(Output::SetTargets { key, targets });
            format!("came back after a restart of the gateway; it forwards {listeners} listeners")
        };
        self.record(key, ChangeCode::Restored, sentence, now);
        self.answer_waiters(key, None, now);
    }

    /// One of its ports is not to be had, and another would be none of its own.
    pub(super) fn lose(&mut self, key: SessionKey, port: u16, cause: &str, now: Instant) {
        let sentence = format!(
            "lost in the restart of the gateway: its port {port} cannot be bound again ({cause})"
        );
        self.end(key, ChangeCode::Lost, sentence, now, None);
    }

    /// Tells watchers of a session that did not come back.
    fn record_gone(&mut self, saved: &SavedSession, gone: Gone, now: Instant) {
        let Gone { code, why } = gone;
        self.outputs.push(Output::Record(Change {
            sequence: self.sequence,
            at: now,
            session: saved.terms.id.clone(),
            owner: saved.owner.clone(),
            phase: Phase::Closed,
            code,
            sentence: format!("did not come back after the restart of the gateway: {why}"),
        }));
        self.sequence += 1;
        self.revision += 1;
    }
}

impl Session {
    /// What is kept of it, if it comes back after the process.
    fn saved(&self) -> Option<SavedSession> {
        match self.phase {
            Phase::Opening => self.revival.as_deref().cloned(),
            Phase::Ready | Phase::Forwarding => Some(SavedSession {
                terms: Arc::clone(&self.terms),
                owner: self.owner.clone(),
                request: Arc::clone(&self.request),
                ports: self.bound_ports().collect(),
                targets: self.targets.clone(),
                announced: self.announced.clone(),
                created: self.times.created,
                active: self.times.active,
                expires: self.times.expires,
            }),
            Phase::AwaitingHello | Phase::Draining | Phase::Ending | Phase::Closed => None,
        }
    }

    fn bound_ports(&self) -> impl Iterator<Item = u16> {
        self.listeners.iter().filter_map(|slot| match slot {
            Slot::Bound(_, listen) => Some(listen.port()),
            Slot::Asked(_) | Slot::Closed => None,
        })
    }
}

/// A session that was kept, as whoever releases it sees it.
fn closed_view(saved: &SavedSession, now: Instant) -> SessionView {
    let terms = &saved.terms;
    SessionView {
        id: terms.id.clone(),
        owner: saved.owner.clone(),
        role: saved.request.role,
        phase: Phase::Closed,
        sentence: "released; it does not come back".to_owned(),
        label: saved.request.label.clone(),
        listeners: Vec::new(),
        targets: saved.targets.clone(),
        announced: saved.announced.clone(),
        sources: terms.sources.clone(),
        reserved: terms.reserved,
        max_rate: terms.max_rate,
        max_connections: terms.max_connections,
        age: now.saturating_duration_since(saved.created),
        expires_in: saved.expires.map(|at| at.saturating_duration_since(now)),
        idle_timeout: terms.idle_timeout,
    }
}

#[cfg(test)]
mod tests;
