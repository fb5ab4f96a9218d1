//! The pool of ports for listeners.
//!
//! ```text
//!   free ──take──► taken ──give_back──► resting ──time──► free
//! ```
//!
//! The port that was free longest is taken first, and one that comes back rests: a connection meant
//! for the session before must not reach the next.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// How long a port that could not be bound is left alone: another program has it.
const SKIPPED_REST: Duration = Duration::from_secs(30);

/// Listeners that one session may have when the kernel chooses the ports.
const MOST_OF_ANY: usize = 1024;

/// The pool.
#[derive(Debug)]
pub(super) enum Ports {
    /// Whatever the kernel has free; with those ports that sessions came back to.
    Any(BTreeSet<u16>),
    /// A range.
    Range(PortRange),
}

#[derive(Debug)]
pub(super) struct PortRange {
    size: usize,
    rest: Duration,
    free: VecDeque<u16>,
    /// When each port may be taken again.
    resting: BTreeSet<(Instant, u16)>,
}

impl Ports {
    /// All ports of `range` are free; `0..=0` stands for whatever the kernel has.
    pub(super) fn new(range: &RangeInclusive<u16>, rest: Duration) -> Self {
        if *range.end() == 0 {
            return Self::Any(BTreeSet::new());
        }
        let free: VecDeque<u16> = range.clone().filter(|port| *port != 0).collect();
        Self::Range(PortRange {
            size: free.len(),
            rest,
            free,
            resting: BTreeSet::new(),
        })
    }

    /// The most listeners a session can ever have.
    pub(super) fn most(&self) -> usize {
        match self {
            Self::Any(_) => MOST_OF_ANY,
            Self::Range(range) => range.size,
        }
    }

    /// How many can be taken now.
    pub(super) fn left(&mut self, now: Instant) -> usize {
        match self {
            Self::Any(_) => MOST_OF_ANY,
            Self::Range(range) => {
                range.wake(now);
                range.free.len()
            }
        }
    }

    /// How long until `wanted` can be taken, if resting ports are enough for that.
    pub(super) fn wait_for(&self, wanted: usize, now: Instant) -> Option<Duration> {
        let Self::Range(range) = self else {
            return None;
        };
        let short = wanted.checked_sub(range.free.len())?.checked_sub(1)?;
        let (at, _) = range.resting.iter().nth(short)?;
        Some(at.saturating_duration_since(now))
    }

    /// Takes a port; 0 for one that the kernel chooses.
    pub(super) fn take(&mut self, now: Instant) -> Option<u16> {
        match self {
            Self::Any(_) => Some(0),
            Self::Range(range) => {
                range.wake(now);
                range.free.pop_front()
            }
        }
    }

    /// Takes this very port, resting or not: it comes back to the session that had it. False when it
    /// is taken, or none of the pool.
    pub(super) fn claim(&mut self, port: u16) -> bool {
        match self {
            Self::Any(claimed) => claimed.insert(port),
            Self::Range(range) => range.claim(port),
        }
    }

    /// Gives a port back that was listened on.
    pub(super) fn give_back(&mut self, port: u16, now: Instant) {
        match self {
            Self::Any(claimed) => _ = claimed.remove(&port),
            Self::Range(range) => range.put_to_rest(port, now, range.rest),
        }
    }

    /// Gives a port back that could not be bound.
    pub(super) fn skip(&mut self, port: u16, now: Instant) {
        match self {
            Self::Any(claimed) => _ = claimed.remove(&port),
            Self::Range(range) => range.put_to_rest(port, now, SKIPPED_REST),
        }
    }

    /// How many rest; `None` when nobody counts.
    pub(super) fn resting(&self, now: Instant) -> Option<usize> {
        match self {
            Self::Any(_) => None,
            Self::Range(range) => Some(range.resting.iter().filter(|(at, _)| *at > now).count()),
        }
    }

    /// How many are taken; `None` when nobody counts.
    pub(super) fn taken(&self) -> Option<usize> {
        match self {
            Self::Any(_) => None,
            Self::Range(range) => Some(range.size - range.free.len() - range.resting.len()),
        }
    }
}

impl PortRange {
    fn wake(&mut self, now: Instant) {
        while let Some(&(at, port)) = self.resting.first()
            && at <= now
        {
            self.resting.pop_first();
            self.free.push_back(port);
        }
    }

    fn claim(&mut self, port: u16) -> bool {
        if let Some(at) = self.free.iter().position(|free| *free == port) {
            return self.free.remove(at).is_some();
        }
        let resting = self.resting.iter().find(|(_, other)| *other == port);
        let resting = resting.copied();
        resting.is_some_and(|resting| self.resting.remove(&resting))
    }

    fn put_to_rest(&mut self, port: u16, now: Instant, rest: Duration) {
        self.resting.insert((now + rest, port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(5);

    #[test]
    fn a_port_rests_before_it_is_taken_again() {
        let start = Instant::now();
        let mut ports = Ports::new(&(7000..=7001), REST);
        assert_eq!(
            (ports.take(start), ports.take(start)),
            (Some(7000), Some(7001))
        );
        assert_eq!((ports.take(start), ports.left(start)), (None, 0));
        ports.give_back(7001, start);
        ports.give_back(7000, start + REST / 2);
        assert_eq!(ports.take(start + REST / 2), None);
        assert_eq!(ports.wait_for(1, start), Some(REST));
        assert_eq!(ports.wait_for(2, start), Some(REST + REST / 2));
        assert_eq!(ports.wait_for(3, start), None);
        assert_eq!(ports.take(start + REST), Some(7001));
        assert_eq!(ports.taken(), Some(1));
    }

    #[test]
    fn the_port_free_longest_is_taken_first() {
        let start = Instant::now();
        let mut ports = Ports::new(&(7000..=7002), Duration::ZERO);
        assert_eq!(ports.take(start), Some(7000));
        ports.give_back(7000, start);
        let next: Vec<_> = std::iter::from_fn(|| ports.take(start)).collect();
        assert_eq!(next, [7001, 7002, 7000]);
    }

    #[test]
    fn a_port_that_cannot_be_bound_is_left_alone_for_a_while() {
        let start = Instant::now();
        let mut ports = Ports::new(&(7000..=7000), Duration::ZERO);
        let port = ports.take(start).unwrap();
        ports.skip(port, start);
        assert_eq!(ports.take(start + SKIPPED_REST / 2), None);
        assert_eq!(ports.take(start + SKIPPED_REST), Some(7000));
    }

    #[test]
    fn a_port_that_comes_back_to_its_session_is_taken_once() {
        let start = Instant::now();
        let mut ports = Ports::new(&(7000..=7002), REST);
        assert!(ports.claim(7001));
        assert!(!ports.claim(7001), "it is taken");
        assert!(!ports.claim(8000), "it is none of the pool");
        ports.give_back(7001, start);
        assert_eq!(ports.resting(start), Some(1));
        assert!(ports.claim(7001), "it rests for others");
        assert_eq!((ports.taken(), ports.left(start)), (Some(1), 2));
        assert_eq!(ports.resting(start), Some(0));
    }

    #[test]
    fn any_port_is_left_to_the_kernel() {
        let start = Instant::now();
        let mut ports = Ports::new(&(0..=0), REST);
        assert_eq!(ports.take(start), Some(0));
        assert!(ports.left(start) > 0);
        assert_eq!(ports.taken(), None);
    }
}
