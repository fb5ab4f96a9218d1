//! The ways a session ends, and what it gives back.

use std::time::{Duration, Instant};

use super::super::caller::Caller;
use super::super::error::SessionError;
use super::super::event::ChangeCode;
use super::super::exchange::{Output, SessionKey, Ticket};
use super::super::id::SessionId;
use super::super::phase::{Phase, Step};
use super::super::request::Greeting;
use super::Registry;
use super::record::{Over, Releasing, Slot};

impl Registry {
    pub(super) fn release(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        id: &SessionId,
        drain: Option<Duration>,
        now: Instant,
    ) {
        let key = match self.find(caller, id) {
            Ok(key) => key,
            Err(SessionError::Unknown { .. }) => return self.release_kept(ticket, caller, id, now),
            Err(error) => return self.answer(ticket, Err(error)),
        };
        self.forget_kept(key);
        let drain = drain.filter(|drain| !drain.is_zero());
        self.waiting.insert(ticket, key);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.releasing.push(Releasing {
                ticket,
                drains: drain.is_some(),
            });
        }
        self.let_go(key, drain, ChangeCode::Released, now);
        self.answer_drained(key, now);
    }

    /// Takes no sessions from now on, and ends those there are.
    pub(super) fn let_all_go(&mut self, limit: Option<Duration>, now: Instant) {
        self.stopping = true;
        let limit = limit.filter(|limit| !limit.is_zero());
        let keys: Vec<SessionKey> = self.sessions.keys().copied().collect();
        for key in keys {
            // Whoever drains already goes on as was promised, unless that is longer.
            let sooner = self.drained_by(key).is_none_or(|until| {
                limit
                    .and_then(|limit| now.checked_add(limit))
                    .is_none_or(|at| at < until)
            });
            if self.phase(key) != Phase::Ending && sooner {
                self.let_go(key, limit, ChangeCode::Stopped, now);
            }
        }
    }

    fn drained_by(&self, key: SessionKey) -> Option<Instant> {
        let session = self.sessions.get(&key)?;
        session.times.drained_by
    }

    /// Ends a session, now or when its connections have ended.
    fn let_go(&mut self, key: SessionKey, drain: Option<Duration>, code: ChangeCode, now: Instant) {
        if self.phase(key) == Phase::Ending {
            return;
        }
        let by = if code != ChangeCode::Stopped {
            "released"
        } else if self.is_kept(key) {
            "the gateway is stopping and keeps it for its next start"
        } else {
            "the gateway is stopping"
        };
        let until = drain.and_then(|drain| now.checked_add(drain));
        let opening = self.phase(key) == Phase::Opening;
        match (drain, until) {
            (Some(drain), Some(until)) if !opening => {
                let sentence = format!(
                    "{by}; its connections may go on for {:.0} s",
                    drain.as_secs_f64()
                );
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.times.drained_by = Some(until);
                }
                self.leave(key, Step::Drain, code, sentence, now);
                self.tell_waiters_it_ended(key, code, None, now);
            }
            _ => self.end(key, code, by.to_owned(), now, None),
        }
    }

    /// Ends a session now. Its waiters get `error`, or that it ended.
    pub(super) fn end(
        &mut self,
        key: SessionKey,
        code: ChangeCode,
        sentence: String,
        now: Instant,
        error: Option<&SessionError>,
    ) {
        if self.phase(key) == Phase::Ending {
            return;
        }
        self.leave(key, Step::End, code, sentence, now);
        self.outputs.push(Output::EndConnections { key });
        self.tell_waiters_it_ended(key, code, error, now);
    }

    /// Closes the listeners, unless that has happened.
    fn leave(
        &mut self,
        key: SessionKey,
        step: Step,
        code: ChangeCode,
        sentence: String,
        now: Instant,
    ) {
        let was_over = self.phase(key).is_over();
        if !self.step(key, step) {
            return;
        }
        self.record(key, code, sentence, now);
        if !was_over {
            self.outputs.push(Output::CloseListeners { key });
        }
    }

    fn tell_waiters_it_ended(
        &mut self,
        key: SessionKey,
        code: ChangeCode,
        error: Option<&SessionError>,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let ended = SessionError::Ended {
            id: session.terms.id.clone(),
            why: code,
        };
        self.answer_waiters(key, Some(error.unwrap_or(&ended)), now);
    }

    pub(super) fn listeners_closed(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if !session.phase.is_over() {
            return;
        }
        session.listeners_closed = true;
        for slot in &mut session.listeners {
            if let Slot::Asked(port) | Slot::Bound(port, _) = *slot {
                self.ports.give_back(port, now);
            }
            *slot = Slot::Closed;
        }
        self.answer_drained(key, now);
    }

    /// Answers the releases for which closed listeners are enough.
    fn answer_drained(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if !session.listeners_closed || session.phase == Phase::Ending {
            return;
        }
        let drained = session.releasing.extract_if(.., |waiting| waiting.drains);
        let drained: Vec<Releasing> = drained.collect();
        let view = session.view(now);
        for Releasing { ticket, .. } in drained {
            self.answer(ticket, Ok(view.clone()));
        }
    }

    /// Nothing is left of it but the books.
    pub(super) fn settled(&mut self, key: SessionKey, now: Instant) {
        if !self
            .sessions
            .get(&key)
            .is_some_and(|session| session.listeners_closed)
            || !self.step(key, Step::Settle)
        {
            return;
        }
        self.record(key, ChangeCode::Closed, "closed".to_owned(), now);
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        if let Some(armed) = session.armed {
            self.deadlines.remove(&(armed, key));
        }
        self.by_id.remove(&session.terms.id);
        if let Some(submission) = &session.request.submission {
            let name = (session.owner.clone(), submission.clone());
            self.by_submission.remove(&name);
        }
        self.reserved = self.reserved.less(session.terms.reserved);
        if let Some(own) = self.owners.get_mut(&session.owner) {
            own.sessions -= 1;
            own.reserved = own.reserved.less(session.terms.reserved);
            if own.sessions == 0 {
                self.owners.remove(&session.owner);
            }
        }
        let view = session.view(now);
        for Releasing { ticket, .. } in session.releasing {
            self.answer(ticket, Ok(view.clone()));
        }
    }

    pub(super) fn caller_gone(&mut self, ticket: Ticket, now: Instant) {
        self.early.forget(ticket);
        let Some(key) = self.waiting.remove(&ticket) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        session.releasing.retain(|waiting| waiting.ticket != ticket);
        let before = session.waiters.len();
        session.waiters.retain(|waiter| waiter.ticket != ticket);
        let was_the_last = before > 0 && session.waiters.is_empty();
        let unready = match session.phase {
            Phase::Opening => true,
            Phase::AwaitingHello => session.request.greeting != Greeting::NotNeeded,
            Phase::Ready | Phase::Forwarding | Phase::Draining | Phase::Ending | Phase::Closed => {
                false
            }
        };
        if was_the_last && unready {
            let sentence = "whoever asked for it went away".to_owned();
            self.end(key, ChangeCode::CallerGone, sentence, now, None);
        }
    }

    /// Does what time does.
    pub(super) fn on_time(&mut self, now: Instant) {
        while let Some(early) = self.early.take_expired(now) {
            let unknown = SessionError::Unknown { id: early.id };
            self.answer(early.ticket, Err(unknown));
        }
        while let Some(&(at, key)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            let Some(session) = self.sessions.get_mut(&key) else {
                continue;
            };
            session.armed = None;
            match session.next_due().filter(|due| due.at <= now) {
                Some(due) => self.time_is_over(key, due.over, now),
                None => self.arm(key),
            }
        }
    }

    fn time_is_over(&mut self, key: SessionKey, over: Over, now: Instant) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let waited = session.times.hello_timeout.unwrap_or_default();
        let error = (over == Over::Hello).then(|| SessionError::HelloTimeout {
            id: session.terms.id.clone(),
            waited,
        });
        let (code, sentence) = match over {
            Over::Drain => (
                ChangeCode::DrainTimedOut,
                "its drain time is over; connections left are reset".to_owned(),
            ),
            Over::Hello => (
                ChangeCode::HelloTimedOut,
                format!("nobody said hello within {} s", waited.as_secs()),
            ),
            Over::Idle => (
                ChangeCode::IdleExpired,
                "no byte moved for its idle time".to_owned(),
            ),
            Over::Lifetime => (
                ChangeCode::LifetimeExpired,
                "its lifetime is over".to_owned(),
            ),
        };
        self.end(key, code, sentence, now, error.as_ref());
    }
}

#[cfg(test)]
mod tests;
