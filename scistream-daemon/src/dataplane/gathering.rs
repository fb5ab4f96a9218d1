//! When a direction on splice waits for more bytes before it moves them: one pure rule.
//!
//! A stream that comes in without pause wakes user space for every segment, and the wake-ups cost
//! more than the moving. Once that is clear the receive socket's low-water mark (`SO_RCVLOWAT`) is
//! raised, so that the kernel wakes for [`GATHER_BYTES`] at once, and a timer looks after
//! [`GATHER_TIME`] at what came short of it. A message is not held up: between messages there are
//! pauses, and a pause ends it.
//!
//! ```text
//!   Direct ──STREAK drains, each soon after the last and large──► Gathering
//!      ◄──a drain that found little──┘
//! ```

use std::time::{Duration, Instant};

/// What the kernel gathers before it wakes user space: four of the largest segments. The rest of a
/// wide pipe takes what comes while user space is on its way.
pub const GATHER_BYTES: i32 = 256 * 1024;
/// The longest that bytes wait for more, on the scale of a NIC's interrupt moderation.
pub const GATHER_TIME: Duration = Duration::from_micros(300);
/// The longest pause within a stream.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(1);
/// Drains in a row that make a stream: more than the segments of a 1 MiB message.
pub const STREAK: u32 = 64;
/// The least that each of them brought.
pub const STREAM_BYTES: u64 = 32 * 1024;
/// A drain that found less while gathering ends it: below 1.7 Gb/s there is little to save.
pub const LEAST_GATHERED: u64 = 64 * 1024;

/// What was seen of one direction so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gathering {
    /// Bytes are moved as they come.
    Direct {
        /// Drains in a row that looked like a stream's.
        streak: u32,
        /// When the last one was.
        last: Option<Instant>,
    },
    /// The low-water mark is raised.
    On {
        /// When to look at what came short of it.
        until: Instant,
    },
}

/// What a drain changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// Raise the low-water mark to [`GATHER_BYTES`].
    Raise,
    /// Lower it to one byte.
    Lower,
}

impl Default for Gathering {
    fn default() -> Self {
        Self::Direct {
            streak: 0,
            last: None,
        }
    }
}

impl Gathering {
    /// The ingress ran empty at `now`, after `bytes` since it last did.
    pub fn on_drained(&mut self, bytes: u64, now: Instant) -> Change {
        let (next, change) = match *self {
            Self::Direct { streak, last } => {
                let soon = last.is_some_and(|last| now - last <= LONGEST_PAUSE);
                let streak = if soon && bytes >= STREAM_BYTES {
                    streak + 1
                } else {
                    0
                };
                if streak < STREAK {
                    let last = Some(now);
                    (Self::Direct { streak, last }, Change::Keep)
                } else {
                    let until = now + GATHER_TIME;
                    (Self::On { until }, Change::Raise)
                }
            }
            Self::On { .. } if bytes < LEAST_GATHERED => (Self::default(), Change::Lower),
            Self::On { .. } => {
                let until = now + GATHER_TIME;
                (Self::On { until }, Change::Keep)
            }
        };
        *self = next;
        change
    }

    /// When to look at what came short of the low-water mark.
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Direct { .. } => None,
            Self::On { until } => Some(*until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 64 * 1024;
    const SOON: Duration = Duration::from_micros(100);

    /// Drains at a distance; answers the first change and after how many drains it came.
    fn first_change(
        gathering: &mut Gathering,
        now: &mut Instant,
        (bytes, distance): (u64, Duration),
    ) -> Option<(u32, Change)> {
        (1..=1_000).find_map(|count| {
            *now += distance;
            let change = gathering.on_drained(bytes, *now);
            (change != Change::Keep).then_some((count, change))
        })
    }

    #[test]
    fn only_a_stream_without_pauses_is_gathered() {
        for (name, bytes, distance, expected) in [
            ("bulk", SEGMENT, SOON, Some((STREAK + 1, Change::Raise))),
            ("small messages", 1_024, SOON, None),
            ("16 KiB messages", 16_384, SOON, None),
            ("messages with pauses", SEGMENT, LONGEST_PAUSE * 2, None),
        ] {
            let mut gathering = Gathering::default();
            let found = first_change(&mut gathering, &mut Instant::now(), (bytes, distance));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn a_pause_starts_the_streak_again() {
        let (mut gathering, mut now) = (Gathering::default(), Instant::now());
        for _ in 0..10 {
            for _ in 0..STREAK {
                now += SOON;
                assert_eq!(gathering.on_drained(SEGMENT, now), Change::Keep);
            }
            now += LONGEST_PAUSE * 2;
        }
    }

    #[test]
    fn gathering_ends_when_little_comes_and_looks_again_until_then() {
        let (mut gathering, mut now) = (Gathering::default(), Instant::now());
        first_change(&mut gathering, &mut now, (SEGMENT, SOON)).unwrap();
        assert_eq!(gathering.until(), Some(now + GATHER_TIME));
        now += GATHER_TIME;
        assert_eq!(gathering.on_drained(LEAST_GATHERED, now), Change::Keep);
        assert_eq!(gathering.until(), Some(now + GATHER_TIME));
        assert_eq!(gathering.on_drained(0, now + GATHER_TIME), Change::Lower);
        assert_eq!(gathering.until(), None);
    }
}
