//! What holds between any two inputs; swept after each in debug builds.

use std::collections::HashSet;

use super::super::phase::Phase;
use super::super::rate::Rate;
use super::Registry;
use super::record::Session;

/// Sessions beyond which only their number is checked: the sweep is linear, and tests make many.
const MOST_SWEPT: usize = 256;

impl Registry {
    /// Sweeps everything that must hold.
    pub(super) fn check_invariants(&self) {
        assert_eq!(
            self.by_id.len(),
            self.sessions.len(),
            "one uid, one session"
        );
        if self.sessions.len() > MOST_SWEPT {
            return;
        }
        self.check_sums();
        self.check_tickets();
        let mut ports = HashSet::new();
        for (key, session) in &self.sessions {
            assert_eq!(self.by_id.get(&session.terms.id), Some(key), "found by uid");
            let armed = session.armed;
            assert!(armed.is_none_or(|at| self.deadlines.contains(&(at, *key))));
            let due = session.next_due();
            assert!(
                due.is_none_or(|due| armed.is_some_and(|armed| armed <= due.at)),
                "what time will do is in the queue: {session:?}"
            );
            for port in session.ports().filter(|port| *port != 0) {
                assert!(ports.insert(port), "port {port} is of one session");
            }
            check_session(session);
        }
        let armed = self
            .sessions
            .values()
            .filter(|session| session.armed.is_some());
        assert_eq!(armed.count(), self.deadlines.len(), "no deadline of nobody");
        if let Some(taken) = self.ports.taken() {
            assert_eq!(
                taken,
                ports.len(),
                "every port is free, resting or of a session"
            );
        }
    }

    fn check_sums(&self) {
        let reserved = |sessions: &mut dyn Iterator<Item = &Session>| {
            sessions.fold(Rate::ZERO, |sum, session| sum.plus(session.terms.reserved))
        };
        assert_eq!(reserved(&mut self.sessions.values()), self.reserved);
        assert!(self.config.capacity.is_none_or(|all| self.reserved <= all));
        assert!(self.sessions.len() <= self.config.max_sessions);
        let mut owned = 0;
        for (owner, holdings) in &self.owners {
            let own = || self.sessions.values().filter(|s| s.owner == *owner);
            assert_eq!(own().count(), holdings.sessions, "{owner}");
            assert_eq!(reserved(&mut own()), holdings.reserved, "{owner}");
            owned += holdings.sessions;
        }
        assert_eq!(owned, self.sessions.len(), "every session is someone's");
    }

    fn check_tickets(&self) {
        let mut seen = HashSet::new();
        for (key, session) in &self.sessions {
            let waiters = session.waiters.iter().map(|waiter| waiter.ticket);
            let releasing = session.releasing.iter().map(|waiting| waiting.ticket);
            for ticket in waiters.chain(releasing) {
                assert_eq!(self.waiting.get(&ticket), Some(key), "{ticket:?} waits");
                assert!(seen.insert(ticket), "{ticket:?} waits once");
            }
        }
        assert_eq!(seen.len(), self.waiting.len(), "nobody waits for nothing");
        for ticket in self.early.tickets() {
            assert!(seen.insert(ticket), "{ticket:?} waits once");
        }
    }
}

fn check_session(session: &Session) {
    let waits = !session.waiters.is_empty();
    match session.phase {
        Phase::Opening => assert!(
            waits || session.revival.is_some(),
            "somebody asked for it: {session:?}"
        ),
        Phase::AwaitingHello => assert!(waits && session.is_bound(), "{session:?}"),
        Phase::Ready => assert!(!waits && session.is_bound(), "{session:?}"),
        Phase::Forwarding => {
            assert!(!waits && session.is_bound(), "{session:?}");
            assert_eq!(session.targets.len(), session.listeners.len());
        }
        Phase::Draining => assert!(!waits && session.times.drained_by.is_some()),
        Phase::Ending => assert!(!waits, "{session:?}"),
        Phase::Closed => assert_ne!(session.phase, Phase::Closed, "they are forgotten"),
    }
    let over = session.phase.is_over();
    assert!(
        over || !session.listeners_closed,
        "listeners close at the end"
    );
    assert!(
        over || session.releasing.is_empty(),
        "releases wait for the end"
    );
}
