//! When each message of a stream is due: decided before the first is sent, whatever becomes of it.

use super::{Load, Pace};
use crate::clock::nanoseconds;

/// The schedule of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    start: u64,
    end: u64,
    rhythm: Rhythm,
}

#[derive(Clone, Copy, Debug)]
enum Rhythm {
    /// Whenever the socket takes it.
    AsItGoes,
    /// So many at once, nanoseconds from one time to the next.
    Beats { each: u64, every: f64 },
}

impl Plan {
    /// The schedule of stream `stream` of a load that begins at `start` on the monotonic clock.
    pub(super) fn new(load: &Load, stream: u16, start: u64) -> Self {
        let end = start + nanoseconds(load.duration);
        let (rhythm, begin) = match load.pace {
            Pace::FlatOut => (Rhythm::AsItGoes, start),
            Pace::Rate { bits_per_second } => {
                let message = f64::from(load.message_size) * 8e9 / bits_per_second.max(1) as f64;
                let every = message * f64::from(load.streams);
                // The streams take turns, so that the rate is the same at every moment.
                let turn = (message * f64::from(stream)) as u64;
                (Rhythm::Beats { each: 1, every }, start + turn)
            }
            Pace::Bursts { messages, every } => {
                let every = nanoseconds(every) as f64;
                let each = u64::from(messages.max(1));
                (Rhythm::Beats { each, every }, start)
            }
        };
        Self {
            start: begin,
            end: end.max(begin + 1),
            rhythm,
        }
    }

    /// When message `number` is due, or `None` when the load is over before.
    ///
    /// Flat out that is `now`: there is no moment at which it should have been sent.
    pub(super) fn due(&self, number: u64, now: u64) -> Option<u64> {
        let due = match self.rhythm {
            Rhythm::AsItGoes => now.max(self.start),
            Rhythm::Beats { each, every } => self.start + ((number / each) as f64 * every) as u64,
        };
        (due < self.end).then_some(due)
    }

    /// How many messages are due from `number` on; 0 flat out.
    pub(super) fn left(&self, number: u64) -> u64 {
        match self.rhythm {
            Rhythm::AsItGoes => 0,
            Rhythm::Beats { each, every } => {
                let beats = ((self.end - self.start) as f64 / every.max(1.0)).ceil() as u64;
                (beats * each).saturating_sub(number)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn load(pace: Pace) -> Load {
        Load {
            message_size: 1_000,
            pace,
            streams: 4,
            duration: Duration::from_millis(1),
            ..Load::default()
        }
    }

    /// The due times of a stream, from a start of 0.
    fn dues(load: &Load, stream: u16) -> Vec<u64> {
        let plan = Plan::new(load, stream, 0);
        (0..).map_while(|number| plan.due(number, 0)).collect()
    }

    #[test]
    fn a_rate_is_that_of_all_streams_which_take_turns() {
        // 1,000 bytes at 800 Mb/s are 10 µs; four streams send one every 40 µs each.
        let load = load(Pace::Rate {
            bits_per_second: 800_000_000,
        });
        let mut all: Vec<u64> = (0..4).flat_map(|stream| dues(&load, stream)).collect();
        all.sort_unstable();
        let expected: Vec<u64> = (0..100).map(|number| number * 10_000).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn a_burst_is_due_all_at_once() {
        let load = load(Pace::Bursts {
            messages: 3,
            every: Duration::from_micros(400),
        });
        let expected = [
            0, 0, 0, 400_000, 400_000, 400_000, 800_000, 800_000, 800_000,
        ];
        assert_eq!(dues(&load, 2), expected);
        assert_eq!(Plan::new(&load, 2, 0).left(7), 2);
    }

    #[test]
    fn being_late_changes_no_due_time() {
        let load = load(Pace::Rate {
            bits_per_second: 800_000_000,
        });
        let plan = Plan::new(&load, 0, 5_000);
        assert_eq!(plan.due(1, u64::MAX), Some(45_000));
    }

    #[test]
    fn flat_out_ends_with_the_time() {
        let plan = Plan::new(&load(Pace::FlatOut), 0, 1_000);
        assert_eq!(plan.due(9_999, 500_000), Some(500_000));
        assert_eq!(plan.due(3, 1_001_000), None);
        assert_eq!(plan.left(3), 0);
    }

    #[test]
    fn every_stream_has_at_least_one_message() {
        let slow = load(Pace::Rate { bits_per_second: 1 });
        for stream in 0..4 {
            assert_eq!(dues(&slow, stream).len(), 1);
        }
    }
}
