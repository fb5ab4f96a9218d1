//! From a create to listeners that are bound.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::super::caller::{Caller, Principal};
use super::super::error::{Resource, SessionError, Unavailable};
use super::super::event::{ChangeCode, counted};
use super::super::exchange::{Output, SessionKey, Terms, Ticket};
use super::super::id::SessionId;
use super::super::phase::{Phase, Step};
use super::super::request::{CreateSession, Greeting};
use super::admission::{self, InUse};
use super::early::EarlyHello;
use super::record::{Session, Slot, Times, Waiter};
use super::{Holdings, Registry};

impl Registry {
    pub(super) fn create(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        id: SessionId,
        request: Box<CreateSession>,
        now: Instant,
    ) {
        if self.stopping {
            let error = SessionError::Unavailable(Unavailable::Stopping);
            return self.answer(ticket, Err(error));
        }
        match self.earlier(caller, &request) {
            Ok(Some(key)) => return self.join(key, ticket, now),
            Ok(None) => {}
            Err(error) => return self.answer(ticket, Err(error)),
        }
        match self.admit(caller, &id, &request, now) {
            Ok(terms) => self.open(ticket, caller, Arc::new(terms), request, now),
            Err(error) => self.answer(ticket, Err(error)),
        }
    }

    /// The session that the same create made before.
    fn earlier(
        &self,
        caller: &Caller,
        request: &CreateSession,
    ) -> Result<Option<SessionKey>, SessionError> {
        let Some(submission) = &request.submission else {
            return Ok(None);
        };
        let name = (caller.principal.clone(), submission.clone());
        let Some(&key) = self.by_submission.get(&name) else {
            return Ok(None);
        };
        let Some(session) = self.sessions.get(&key) else {
            return Ok(None);
        };
        let id = session.terms.id.clone();
        if *session.request != *request {
            return Err(SessionError::Exists { id });
        }
        if session.phase.is_over() {
            return Err(SessionError::Unavailable(Unavailable::Draining(id)));
        }
        Ok(Some(key))
    }

    /// Another caller waits for a session that is there already.
    fn join(&mut self, key: SessionKey, ticket: Ticket, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        match session.phase {
            Phase::Opening | Phase::AwaitingHello => {
                session.waiters.push(Waiter {
                    ticket,
                    existed: true,
                });
                self.waiting.insert(ticket, key);
            }
            Phase::Ready | Phase::Forwarding => {
                let view = session.view(now);
                self.answer_create(ticket, Ok(view), true);
            }
            // Not found as an earlier one.
            Phase::Draining | Phase::Ending | Phase::Closed => {}
        }
    }

    fn admit(
        &mut self,
        caller: &Caller,
        id: &SessionId,
        request: &CreateSession,
        now: Instant,
    ) -> Result<Terms, SessionError> {
        if self.by_id.contains_key(id) {
            return Err(SessionError::Exists { id: id.clone() });
        }
        let most = self.ports.most();
        if !(1..=most).contains(&(request.listeners as usize)) {
            let allowed = format!("1 to {most} listeners, the size of the port pool");
            return Err(SessionError::bad_field(
                "num_conn",
                request.listeners,
                allowed,
            ));
        }
        if !request.targets.is_empty() {
            super::calls::targets_fit(&request.targets)?;
        }
        let own = self.owners.get(&caller.principal);
        let own = own.copied().unwrap_or_default();
        let in_use = InUse {
            sessions: self.sessions.len(),
            sessions_of_owner: own.sessions,
            reserved: self.reserved,
            reserved_by_owner: own.reserved,
        };
        let terms = admission::terms(id, caller, request, &self.config, in_use)?;
        let left = self.ports.left(now);
        if left < terms.listeners {
            return Err(self.ports_exhausted(terms.listeners, left, now));
        }
        Ok(terms)
    }

    fn ports_exhausted(&self, wanted: usize, left: usize, now: Instant) -> SessionError {
        SessionError::Exhausted {
            what: Resource::Ports,
            wanted: wanted as u64,
            left: left as u64,
            retry_after: self.ports.wait_for(wanted, now),
        }
    }

    fn open(
        &mut self,
        ticket: Ticket,
        caller: &Caller,
        terms: Arc<Terms>,
        request: Box<CreateSession>,
        now: Instant,
    ) {
        let key = SessionKey(self.next_key);
        self.next_key += 1;
        let ports = (0..terms.listeners).map_while(|_| self.ports.take(now));
        let listeners: Vec<Slot> = ports.map(Slot::Asked).collect();
        self.outputs.push(Output::Prepare {
            key,
            terms: Arc::clone(&terms),
        });
        for (index, slot) in listeners.iter().enumerate() {
            if let Slot::Asked(port) = *slot {
                self.outputs.push(Output::OpenListener { key, index, port });
            }
        }
        self.enter(key, &caller.principal, &terms, &request);
        self.waiting.insert(ticket, key);
        let sentence = format!("asked for, with {}", counted(terms.listeners, "listener"));
        let session = Session {
            owner: caller.principal.clone(),
            phase: Phase::Opening,
            sentence: String::new(),
            listeners,
            listeners_closed: false,
            targets: Vec::new(),
            announced: Vec::new(),
            waiters: vec![Waiter {
                ticket,
                existed: false,
            }],
            releasing: Vec::new(),
            times: self.times(&terms, &request, now),
            armed: None,
            terms,
            request: Arc::from(request),
            revival: None,
        };
        self.sessions.insert(key, session);
        self.record(key, ChangeCode::Created, sentence, now);
    }

    /// Books what the session holds.
    pub(super) fn enter(
        &mut self,
        key: SessionKey,
        owner: &Principal,
        terms: &Terms,
        request: &CreateSession,
    ) {
        self.by_id.insert(terms.id.clone(), key);
        if let Some(submission) = &request.submission {
            let name = (owner.clone(), submission.clone());
            self.by_submission.insert(name, key);
        }
        self.reserved = self.reserved.plus(terms.reserved);
        let own = self.owners.entry(owner.clone()).or_default();
        *own = Holdings {
            sessions: own.sessions + 1,
            reserved: own.reserved.plus(terms.reserved),
        };
    }

    fn times(&self, terms: &Terms, request: &CreateSession, now: Instant) -> Times {
        Times {
            created: now,
            active: now,
            hello_timeout: match request.greeting {
                Greeting::Awaited(limit) => Some(limit.unwrap_or(self.config.hello_timeout)),
                Greeting::NotNeeded => None,
            },
            // A time that no clock reaches is none.
            expires: terms.lifetime.and_then(|life| now.checked_add(life)),
            drained_by: None,
        }
    }

    pub(super) fn bound(
        &mut self,
        key: SessionKey,
        index: usize,
        listen: SocketAddr,
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if let Some(slot) = session.listeners.get_mut(index)
            && let Slot::Asked(port) = *slot
        {
            *slot = Slot::Bound(port, listen);
        }
        if !session.is_bound() || !self.step(key, Step::Bound) {
            return;
        }
        self.welcome(key, now);
    }

    /// The listeners are bound: goes on as far as nobody has to be waited for.
    fn welcome(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let id = session.terms.id.clone();
        match session.revival.take() {
            Some(saved) => self.revive(key, *saved, now),
            None => self.begin(key, now),
        }
        for early in self.early.take(&id) {
            let EarlyHello {
                ticket,
                caller,
                id,
                hello,
                ..
            } = early;
            self.hello(ticket, caller, id, hello, now);
        }
    }

    /// A fresh session is bound.
    fn begin(&mut self, key: SessionKey, now: Instant) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let targets = session.request.targets.clone();
        let greeting = session.request.greeting;
        let sentence = match greeting {
            Greeting::Awaited(_) => "listens, and waits for a hello",
            Greeting::NotNeeded => "listens, and waits for targets",
        };
        if greeting == Greeting::NotNeeded {
            self.step(key, Step::Greet);
        }
        self.record(key, ChangeCode::Bound, sentence.to_owned(), now);
        if !targets.is_empty() {
            self.set_targets(key, targets, now);
        } else if greeting == Greeting::NotNeeded {
            self.answer_waiters(key, None, now);
        }
    }

    pub(super) fn bind_failed(&mut self, key: SessionKey, index: usize, cause: &str, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let Some(slot) = session.listeners.get_mut(index) else {
            return;
        };
        let Slot::Asked(port) = *slot else {
            return;
        };
        *slot = Slot::Closed;
        let opening = session.phase == Phase::Opening;
        let comes_back = session.revival.is_some();
        self.ports.skip(port, now);
        if !opening {
            return;
        }
        if comes_back {
            return self.lose(key, port, cause, now);
        }
        let sentence = format!("port {port} was skipped: {cause}");
        self.record(key, ChangeCode::PortSkipped, sentence, now);
        // The kernel, which chose the port itself, would say the same again.
        let next = self.ports.take(now).filter(|next| *next != 0);
        match next {
            Some(port) => self.retry(key, index, port),
            None => self.give_up(key, cause, now),
        }
    }

    fn retry(&mut self, key: SessionKey, index: usize, port: u16) {
        if let Some(session) = self.sessions.get_mut(&key)
            && let Some(slot) = session.listeners.get_mut(index)
        {
            *slot = Slot::Asked(port);
            self.outputs.push(Output::OpenListener { key, index, port });
        }
    }

    /// Not enough ports can be bound.
    fn give_up(&mut self, key: SessionKey, cause: &str, now: Instant) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        let wanted = session.terms.listeners;
        let left = session.ports().count();
        let error = self.ports_exhausted(wanted, left, now);
        let sentence = format!("only {left} of {wanted} listeners could be bound: {cause}");
        self.end(key, ChangeCode::OpenFailed, sentence, now, Some(&error));
    }
}

#[cfg(test)]
mod tests;
