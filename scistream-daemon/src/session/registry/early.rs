//! Hellos that came before their session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::caller::Caller;
use super::super::exchange::Ticket;
use super::super::id::SessionId;
use super::super::request::Hello;

/// Hellos kept at once; whoever sends more gets an answer at once.
const MOST: usize = 1024;

/// Targets kept at once, in all hellos.
const MOST_TARGETS: usize = 16_384;

/// A hello that came before its session.
#[derive(Debug)]
pub(super) struct EarlyHello {
    pub(super) ticket: Ticket,
    pub(super) caller: Caller,
    pub(super) id: SessionId,
    pub(super) hello: Hello,
    until: Instant,
}

/// The hellos kept, in the order they came, which is that of their deadlines.
#[derive(Debug)]
pub(super) struct EarlyHellos {
    keep: Duration,
    kept: VecDeque<EarlyHello>,
}

impl EarlyHellos {
    pub(super) fn new(keep: Duration) -> Self {
        Self {
            keep,
            kept: VecDeque::new(),
        }
    }

    /// Keeps a hello for a moment; false when there is no room.
    pub(super) fn keep(
        &mut self,
        ticket: Ticket,
        caller: Caller,
        id: SessionId,
        hello: Hello,
        now: Instant,
    ) -> bool {
        let targets: usize = self
            .kept
            .iter()
            .map(|early| early.hello.targets.len())
            .sum();
        let fits = self.kept.len() < MOST && targets + hello.targets.len() <= MOST_TARGETS;
        if self.keep.is_zero() || !fits {
            return false;
        }
        self.kept.push_back(EarlyHello {
            ticket,
            caller,
            id,
            hello,
            until: now + self.keep,
        });
        true
    }

    /// Takes out those for `id`, in the order they came.
    pub(super) fn take(&mut self, id: &SessionId) -> Vec<EarlyHello> {
        let all = std::mem::take(&mut self.kept);
        let (taken, kept) = all.into_iter().partition(|early| early.id == *id);
        self.kept = kept;
        Vec::from(taken)
    }

    /// Takes out one whose moment is over.
    pub(super) fn take_expired(&mut self, now: Instant) -> Option<EarlyHello> {
        self.kept.pop_front_if(|early| early.until <= now)
    }

    /// Forgets the one of a caller that went away.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.kept.retain(|early| early.ticket != ticket);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.kept.front().map(|early| early.until)
    }

    pub(super) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.kept.iter().map(|early| early.ticket)
    }
}
