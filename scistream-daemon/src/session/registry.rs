//! All sessions, and every decision about them: inputs with the time go in, outputs come out, and
//! nothing is touched meanwhile.
//!
//! What is promised, beside the phases of [`super::phase`]:
//!
//! * A hello that comes before its session is kept for a moment: `req` and `hello` of one caller race
//!   on their way here. Their number is bounded; beyond it, and after the moment, the uid is unknown.
//! * An update that comes before the hello stands in for it.
//! * A uid can be used again as soon as its session is closed.
//! * Each ticket gets one answer, unless its caller goes away; a session that only callers who left
//!   waited for ends.
//! * Ports go back to the pool when their listeners are closed, and rest there.
//! * What is ready or forwards can outlive the process, see `survival`.

mod admission;
mod calls;
mod early;
mod ending;
mod invariants;
mod opening;
mod record;
mod survival;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::caller::{Caller, Principal};
use super::error::SessionError;
use super::event::{Change, ChangeCode};
use super::exchange::{Answer, Input, Output, SessionKey, Ticket};
use super::id::{SessionId, SubmissionId};
use super::phase::{Phase, Step};
use super::ports::Ports;
use super::rate::{Rate, RateUse};
use super::saved::SavedSession;
use super::target::Target;
use super::view::SessionView;
use early::EarlyHellos;
use record::Session;

pub use calls::{MOST_TARGETS, targets_fit};

/// What all sessions together may have, and what each gets.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Ports for listeners; `0..=0` for any that the kernel has.
    pub ports: RangeInclusive<u16>,
    /// How long a port rests after its session, so that a late connection does not meet the next.
    pub port_rest: Duration,
    /// Sessions at once.
    pub max_sessions: usize,
    /// Connections at once in a session that asks for no other number; `None` for as many as the
    /// gateway takes.
    pub max_connections: Option<u32>,
    /// How long a `req` waits for its hello.
    pub hello_timeout: Duration,
    /// How long a hello that comes before its `req` is kept.
    pub early_hello: Duration,
    /// The longest lifetime of a session, and that of one that asks for none.
    pub lifetime: Option<Duration>,
    /// The idle time-out of a session that asks for none.
    pub idle_timeout: Option<Duration>,
    /// What the wire's `rate` is taken for.
    pub rate_use: RateUse,
    /// What the gateway can move in each direction; `None` when unknown, and then everything is
    /// admitted.
    pub capacity: Option<Rate>,
}

/// The sessions.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    ports: Ports,
    sessions: BTreeMap<SessionKey, Session>,
    by_id: HashMap<SessionId, SessionKey>,
    by_submission: HashMap<(Principal, SubmissionId), SessionKey>,
    /// The session that each caller of a create or release waits for.
    waiting: HashMap<Ticket, SessionKey>,
    early: EarlyHellos,
    owners: HashMap<Principal, Holdings>,
    reserved: Rate,
    /// One entry for each session that time will do something to; it may be too early.
    deadlines: BTreeSet<(Instant, SessionKey)>,
    /// Sessions that come back after this process, which ends.
    kept: BTreeMap<SessionKey, SavedSession>,
    next_key: u64,
    sequence: u64,
    revision: u64,
    stopping: bool,
    outputs: Vec<Output>,
}

/// What an owner's sessions use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Holdings {
    sessions: usize,
    reserved: Rate,
}

impl Registry {
    /// A registry without sessions.
    pub fn new(config: RegistryConfig) -> Self {
        Self {
            ports: Ports::new(&config.ports, config.port_rest),
            early: EarlyHellos::new(config.early_hello),
            config,
            sessions: BTreeMap::new(),
            by_id: HashMap::new(),
            by_submission: HashMap::new(),
            waiting: HashMap::new(),
            owners: HashMap::new(),
            reserved: Rate::ZERO,
            deadlines: BTreeSet::new(),
            kept: BTreeMap::new(),
            next_key: 0,
            sequence: 0,
            revision: 0,
            stopping: false,
            outputs: Vec::new(),
        }
    }

    /// Takes an input in, at `now`; what is to be done is returned in order. Time never goes back.
    pub fn handle(&mut self, input: Input, now: Instant) -> Vec<Output> {
        self.on_time(now);
        match input {
            Input::Create {
                ticket,
                caller,
                id,
                request,
            } => self.create(ticket, &caller, id, request, now),
            Input::Hello {
                ticket,
                caller,
                id,
                hello,
            } => self.hello(ticket, caller, id, hello, now),
            Input::Update {
                ticket,
                caller,
                id,
                targets,
            } => {
                let answer = self.update(&caller, &id, targets, now);
                self.answer(ticket, answer);
            }
            Input::Release {
                ticket,
                caller,
                id,
                drain,
            } => self.release(ticket, &caller, &id, drain, now),
            Input::CallerGone { ticket } => self.caller_gone(ticket, now),
            Input::Bound { key, index, listen } => self.bound(key, index, listen, now),
            Input::BindFailed { key, index, cause } => self.bind_failed(key, index, &cause, now),
            Input::ListenersClosed { key } => self.listeners_closed(key, now),
            Input::Settled { key } => self.settled(key, now),
            Input::Moved { key } => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.times.active = now;
                }
            }
            Input::Drain { limit } => {
                self.forget_all_kept();
                self.let_all_go(limit, now);
            }
            Input::Restore { saved } => self.restore(saved, now),
            Input::Suspend { limit } => self.suspend(limit, now),
            Input::Tick => {}
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        std::mem::take(&mut self.outputs)
    }

    /// When time will do something next; to be answered with [`Input::Tick`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let session = self.deadlines.first().map(|(at, _)| *at);
        session.into_iter().chain(self.early.next_deadline()).min()
    }

    /// The sessions that `caller` may see, the oldest first.
    pub fn list(&self, caller: &Caller, now: Instant) -> Vec<(SessionKey, SessionView)> {
        let own = self.sessions.iter();
        own.filter(|(_, session)| caller.may_touch(&session.owner))
            .map(|(key, session)| (*key, session.view(now)))
            .collect()
    }

    /// One session, if `caller` may see it.
    ///
    /// # Errors
    /// `Unknown`, `NotOwner`.
    pub fn show(
        &self,
        caller: &Caller,
        id: &SessionId,
        now: Instant,
    ) -> Result<(SessionKey, SessionView), SessionError> {
        let key = self.find(caller, id)?;
        let session = self.sessions.get(&key);
        let session = session.ok_or_else(|| SessionError::Unknown { id: id.clone() })?;
        Ok((key, session.view(now)))
    }

    /// Where the listeners of a session send to, one for each; none of a session that is not there.
    pub fn targets(&self, key: SessionKey) -> &[Target] {
        let session = self.sessions.get(&key);
        session.map_or(&[], |session| session.targets.as_slice())
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The session that `caller` names and may touch.
    fn find(&self, caller: &Caller, id: &SessionId) -> Result<SessionKey, SessionError> {
        let unknown = || SessionError::Unknown { id: id.clone() };
        let key = *self.by_id.get(id).ok_or_else(unknown)?;
        let session = self.sessions.get(&key).ok_or_else(unknown)?;
        if caller.may_touch(&session.owner) {
            Ok(key)
        } else {
            Err(SessionError::NotOwner { id: id.clone() })
        }
    }

    /// Takes a step; a step that the phase does not know changes nothing and is false.
    fn step(&mut self, key: SessionKey, step: Step) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else {
            return false;
        };
        match session.phase.on(step) {
            Ok(phase) => {
                session.phase = phase;
                true
            }
            Err(_illegal) => false,
        }
    }

    /// Tells watchers what happened, keeps it as the session's state in words, and arms its next
    /// deadline.
    fn record(&mut self, key: SessionKey, code: ChangeCode, sentence: String, now: Instant) {
        self.arm(key);
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.sentence.clone_from(&sentence);
        self.outputs.push(Output::Record(Change {
            sequence: self.sequence,
            at: now,
            session: session.terms.id.clone(),
            owner: session.owner.clone(),
            phase: session.phase,
            code,
            sentence,
        }));
        self.sequence += 1;
        self.revision += 1;
    }

    /// Puts the session's next deadline into the queue. One that is armed too early is left: it finds
    /// nothing due then and comes here again.
    fn arm(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let due = session.next_due().map(|due| due.at);
        if let (Some(due), Some(armed)) = (due, session.armed)
            && armed <= due
        {
            return;
        }
        if let Some(armed) = session.armed.take() {
            self.deadlines.remove(&(armed, key));
        }
        if let Some(at) = due {
            session.armed = Some(at);
            self.deadlines.insert((at, key));
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<SessionView, SessionError>) {
        self.answer_create(ticket, answer, false);
    }

    fn answer_create(
        &mut self,
        ticket: Ticket,
        answer: Result<SessionView, SessionError>,
        existed: bool,
    ) {
        self.waiting.remove(&ticket);
        let answer = answer.map(|session| Box::new(Answer { session, existed }));
        self.outputs.push(Output::Answer { ticket, answer });
    }

    /// Answers all who wait for the session to be ready.
    fn answer_waiters(&mut self, key: SessionKey, error: Option<&SessionError>, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let waiters = std::mem::take(&mut session.waiters);
        let view = session.view(now);
        for waiter in waiters {
            let answer = error.map_or_else(|| Ok(view.clone()), |error| Err(error.clone()));
            self.answer_create(waiter.ticket, answer, waiter.existed);
        }
    }

    /// What a session looks like after a call.
    fn view(
        &self,
        key: SessionKey,
        id: &SessionId,
        now: Instant,
    ) -> Result<SessionView, SessionError> {
        let session = self.sessions.get(&key);
        session
            .map(|session| session.view(now))
            .ok_or_else(|| SessionError::Unknown { id: id.clone() })
    }

    fn phase(&self, key: SessionKey) -> Phase {
        self.sessions
            .get(&key)
            .map_or(Phase::Closed, |session| session.phase)
    }
}

#[cfg(test)]
mod tests;
