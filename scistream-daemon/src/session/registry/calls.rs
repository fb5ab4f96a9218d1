//! Hello and update: what open sessions are told.

use std::time::Instant;

use super::super::caller::Caller;
use super::super::error::{SessionError, Unavailable};
use super::super::event::{ChangeCode, counted};
use super::super::exchange::{Output, SessionKey, Ticket};
use super::super::id::SessionId;
use super::super::phase::{Phase, Step};
use super::super::request::Hello;
use super::super::target::Target;
use super::super::view::SessionView;
use super::Registry;

/// Targets that one call may name.
pub const MOST_TARGETS: usize = 1024;

impl Registry {
    pub(super) fn hello(
        &mut self,
        ticket: Ticket,
        caller: Caller,
        id: SessionId,
        hello: Hello,
        now: Instant,
    ) {
        if hello.targets.len() > MOST_TARGETS {
            let error = too_many("prod_listeners", hello.targets.len());
            return self.answer(ticket, Err(error));
        }
        let found = self.find(&caller, &id);
        let too_early = match &found {
            Ok(key) => self.phase(*key) == Phase::Opening,
            Err(SessionError::Unknown { .. }) => true,
            Err(_) => false,
        };
        let unknown = SessionError::Unknown { id: id.clone() };
        if too_early {
            if !self.early.keep(ticket, caller, id, hello, now) {
                self.answer(ticket, Err(unknown));
            }
            return;
        }
        let answer = found.and_then(|key| self.greet(key, &id, hello, now));
        self.answer(ticket, answer);
    }

    fn greet(
        &mut self,
        key: SessionKey,
        id: &SessionId,
        hello: Hello,
        now: Instant,
    ) -> Result<SessionView, SessionError> {
        self.must_be_open(key, id)?;
        if let Some(session) = self.sessions.get_mut(&key) {
            session.announced = hello.targets;
        }
        self.step(key, Step::Greet);
        let sentence = match self.phase(key) {
            Phase::Forwarding => "its application said hello again; it forwards",
            Phase::Opening
            | Phase::AwaitingHello
            | Phase::Ready
            | Phase::Draining
            | Phase::Ending
            | Phase::Closed => "its application said hello; it waits for targets",
        };
        self.record(key, ChangeCode::Hello, sentence.to_owned(), now);
        self.answer_waiters(key, None, now);
        self.view(key, id, now)
    }

    pub(super) fn update(
        &mut self,
        caller: &Caller,
        id: &SessionId,
        targets: Vec<Target>,
        now: Instant,
    ) -> Result<SessionView, SessionError> {
        let key = self.find(caller, id)?;
        targets_fit(&targets)?;
        self.must_be_open(key, id)?;
        self.set_targets(key, targets, now);
        self.view(key, id, now)
    }

    /// Gives each listener its target, and answers whoever waited.
    pub(super) fn set_targets(&mut self, key: SessionKey, given: Vec<Target>, now: Instant) {
        if !self.step(key, Step::Target) {
            return;
        }
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let listeners = session.listeners.len();
        let in_turn = given.iter().cycle().take(listeners);
        let targets: Vec<Target> = in_turn.cloned().collect();
        session.targets.clone_from(&targets);
        self.outputs.push(Output::SetTargets { key, targets });
        let unused = given.len().saturating_sub(listeners);
        let mut sentence = format!(
            "forwards {} to {}",
            counted(listeners, "listener"),
            counted(given.len() - unused, "target")
        );
        if unused > 0 {
            sentence += &format!("; {unused} more have no listener");
        }
        self.record(key, ChangeCode::TargetsSet, sentence, now);
        self.answer_waiters(key, None, now);
    }

    fn must_be_open(&self, key: SessionKey, id: &SessionId) -> Result<(), SessionError> {
        let phase = self.phase(key);
        if phase.is_open() {
            return Ok(());
        }
        if phase == Phase::Opening {
            return Err(SessionError::Unknown { id: id.clone() });
        }
        let draining = Unavailable::Draining(id.clone());
        Err(SessionError::Unavailable(draining))
    }
}

/// Whether a call names a number of targets that can be had.
///
/// # Errors
/// `BadField`.
pub fn targets_fit(targets: &[Target]) -> Result<(), SessionError> {
    match targets.len() {
        1..=MOST_TARGETS => Ok(()),
        number => Err(too_many("remote_listeners", number)),
    }
}

fn too_many(field: &'static str, number: usize) -> SessionError {
    let value = format!("{number} targets");
    SessionError::bad_field(field, value, format!("1 to {MOST_TARGETS}"))
}
