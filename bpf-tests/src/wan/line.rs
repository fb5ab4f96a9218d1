//! One direction of a wide-area line as a decision: packet and time in, fate out. No clock, no
//! I/O, all chance from one seed.
//!
//! ```text
//!   now ──► bottleneck ──────────► loss ──────► propagation ──────► due
//!           waits its turn at      of single    delay, jitter in
//!           `rate`; beyond         segments     order, or held back
//!           `queue` it overflows                and overtaken
//! ```

use crate::clock::nanoseconds;
use crate::traffic::Draw;

use super::WanOptions;
use super::packet::Shape;

/// How long a packet that is to be overtaken is held back, nanoseconds.
const HELD_BACK: u64 = 1_000_000;

/// One direction of a line.
#[derive(Debug)]
pub(super) struct Line {
    delay: u64,
    jitter: u64,
    /// Nanoseconds that one byte takes at the bottleneck.
    byte_time: f64,
    queue: u64,
    reorder: f64,
    loss: Loss,
    draw: Draw,
    /// When the bottleneck has sent all it has accepted.
    free_at: u64,
    /// The latest moment at which a packet in order is due.
    latest_due: u64,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It arrives whole.
    Arrives {
        /// When, nanoseconds on the clock of `now`.
        due: u64,
    },
    /// The bottleneck's queue has no room for it.
    Overflows,
    /// It arrives without some of its segments.
    Thinned {
        /// When, nanoseconds on the clock of `now`.
        due: u64,
        /// The segments that are lost, ascending, counted from 0; empty for none of them.
        lost: Vec<usize>,
    },
    /// All of its segments are lost.
    Vanishes,
}

/// Which segments are lost: each with the same probability, whatever the others' fate. The
/// distance to the next loss is drawn instead of a number for each segment.
#[derive(Debug)]
struct Loss {
    probability: f64,
    /// Segments that pass before the next one is lost.
    until_next: u64,
}

impl Line {
    /// One direction of a line after `options`; `seed` decides losses, jitter and reordering.
    pub(super) fn new(options: &WanOptions, seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let byte_time = options.rate.map_or(0.0, |rate| 8e9 / rate.max(1) as f64);
        Self {
            delay: nanoseconds(options.rtt) / 2,
            jitter: nanoseconds(options.jitter),
            byte_time,
            queue: nanoseconds(options.queue),
            reorder: options.reorder,
            loss: Loss::new(options.loss, &mut draw),
            draw,
            free_at: 0,
            latest_due: 0,
        }
    }

    /// Decides about a packet that arrives at the line at `now` (nanoseconds, never going back).
    pub(super) fn admit(&mut self, shape: &Shape, now: u64) -> Fate {
        let turn = self.free_at.max(now);
        if self.byte_time > 0.0 && turn - now > self.queue {
            return Fate::Overflows;
        }
        let sent = turn + (shape.wire_bytes() as f64 * self.byte_time) as u64;
        self.free_at = sent;
        let lost = self.loss.among(shape.segments, &mut self.draw);
        if lost.len() == shape.segments {
            return Fate::Vanishes;
        }
        let due = self.due(sent);
        if lost.is_empty() {
            Fate::Arrives { due }
        } else {
            Fate::Thinned { due, lost }
        }
    }

    fn due(&mut self, sent: u64) -> u64 {
        let jitter = match self.jitter {
            0 => 0,
            most => self.draw.within(0..most),
        };
        let arrival = sent + self.delay + jitter;
        if self.reorder > 0.0 && self.draw.unit() < self.reorder {
            // Those behind it do not wait for it: that is what overtakes.
            return arrival.max(self.latest_due) + HELD_BACK;
        }
        self.latest_due = self.latest_due.max(arrival);
        self.latest_due
    }
}

impl Loss {
    fn new(probability: f64, draw: &mut Draw) -> Self {
        let mut loss = Self {
            probability,
            until_next: 0,
        };
        loss.until_next = loss.distance(draw);
        loss
    }

    /// The indices of the lost ones among the next `count` segments.
    fn among(&mut self, count: usize, draw: &mut Draw) -> Vec<usize> {
        let mut lost = Vec::new();
        let mut passed = 0;
        while self.until_next < count as u64 - passed {
            passed += self.until_next + 1;
            lost.push(passed as usize - 1);
            self.until_next = self.distance(draw);
        }
        self.until_next = self.until_next.saturating_sub(count as u64 - passed);
        lost
    }

    /// How many segments pass until the next loss: geometrically distributed.
    fn distance(&self, draw: &mut Draw) -> u64 {
        if self.probability <= 0.0 {
            return u64::MAX;
        }
        // 1 - unit is never 0; a probability of 1 divides by minus infinity and gives 0.
        ((1.0 - draw.unit()).ln() / (1.0 - self.probability.min(1.0)).ln()) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: u64 = 1_000_000;

    fn options() -> WanOptions {
        WanOptions::new(Duration::from_millis(24))
    }

    fn packet(segments: usize) -> Shape {
        Shape::of_segments(52, 1448, segments)
    }

    #[test]
    fn half_of_the_round_trip_is_spent_each_way() {
        let mut line = Line::new(&options(), 1);
        assert_eq!(
            line.admit(&packet(1), 5 * MS),
            Fate::Arrives { due: 17 * MS }
        );
    }

    #[test]
    fn packets_leave_the_bottleneck_one_after_the_other() {
        let rate = Some(1_000_000_000);
        let mut line = Line::new(&WanOptions { rate, ..options() }, 1);
        // 1500 bytes and Ethernet's 38 take 12.304 µs at 1 Gb/s.
        for number in 1..=10 {
            let due = 12 * MS + number * 12_304;
            assert_eq!(line.admit(&packet(1), 0), Fate::Arrives { due });
        }
    }

    #[test]
    fn a_large_packet_takes_as_long_as_its_segments() {
        let rate = Some(1_000_000_000);
        let mut line = Line::new(&WanOptions { rate, ..options() }, 1);
        let due = 12 * MS + 10 * 12_304;
        assert_eq!(line.admit(&packet(10), 0), Fate::Arrives { due });
    }

    #[test]
    fn what_the_queue_cannot_hold_overflows_and_room_comes_back_with_time() {
        let (rate, queue) = (Some(1_000_000_000), Duration::from_micros(20));
        let capped = WanOptions {
            rate,
            queue,
            ..options()
        };
        let mut line = Line::new(&capped, 1);
        let fates: Vec<_> = (0..4).map(|_| line.admit(&packet(1), 0)).collect();
        assert_eq!(
            fates
                .iter()
                .filter(|&fate| *fate == Fate::Overflows)
                .count(),
            2
        );
        assert!(matches!(
            line.admit(&packet(1), 12_304),
            Fate::Arrives { .. }
        ));
    }

    #[test]
    fn the_share_of_lost_segments_does_not_depend_on_how_they_are_packed() {
        for per_packet in [1, 7, 45] {
            let loss = 0.01;
            let mut line = Line::new(&WanOptions { loss, ..options() }, 7);
            let mut lost = 0;
            let packets = 1_000_000 / per_packet;
            for _ in 0..packets {
                lost += match line.admit(&packet(per_packet), 0) {
                    Fate::Arrives { .. } | Fate::Overflows => 0,
                    Fate::Thinned { lost, .. } => lost.len(),
                    Fate::Vanishes => per_packet,
                };
            }
            let share = lost as f64 / (packets * per_packet) as f64;
            // Five standard deviations of a million draws.
            assert!((share - loss).abs() < 0.0005, "{per_packet}: {share}");
        }
    }

    #[test]
    fn certain_loss_takes_everything_and_none_takes_nothing() {
        for (loss, fate) in [(1.0, Fate::Vanishes), (0.0, Fate::Arrives { due: 12 * MS })] {
            let mut line = Line::new(&WanOptions { loss, ..options() }, 3);
            for _ in 0..1_000 {
                assert_eq!(line.admit(&packet(3), 0), fate);
            }
        }
    }

    #[test]
    fn jitter_delays_and_keeps_the_order() {
        let jitter = Duration::from_millis(3);
        let mut line = Line::new(
            &WanOptions {
                jitter,
                ..options()
            },
            5,
        );
        let dues: Vec<u64> = (0..1_000)
            .map(|n| due(line.admit(&packet(1), n * MS)))
            .collect();
        assert!(dues.is_sorted());
        let extra = |(n, due): (usize, &u64)| due - n as u64 * MS - 12 * MS;
        let extras: Vec<u64> = dues.iter().enumerate().map(extra).collect();
        assert!(extras.iter().all(|&extra| extra < 3 * MS));
        assert!(extras.iter().any(|&extra| extra > 2 * MS));
    }

    #[test]
    fn a_share_of_the_packets_is_overtaken() {
        let reorder = 0.1;
        let mut line = Line::new(
            &WanOptions {
                reorder,
                ..options()
            },
            5,
        );
        let mut early = 0;
        let mut latest = 0;
        for n in 0..10_000 {
            let due = due(line.admit(&packet(1), n * MS / 10));
            early += usize::from(due < latest);
            latest = latest.max(due);
        }
        assert!((4_000..9_000).contains(&early), "{early}");
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let (loss, reorder) = (0.02, 0.05);
        let jitter = Duration::from_millis(2);
        let rough = WanOptions {
            loss,
            reorder,
            jitter,
            ..options()
        };
        let fates = |seed| {
            let mut line = Line::new(&rough, seed);
            (0..500)
                .map(|n| line.admit(&packet(4), n * MS))
                .collect::<Vec<_>>()
        };
        assert_eq!(fates(11), fates(11));
        assert_ne!(fates(11), fates(12));
    }

    fn due(fate: Fate) -> u64 {
        match fate {
            Fate::Arrives { due } | Fate::Thinned { due, .. } => due,
            Fate::Overflows | Fate::Vanishes => panic!("{fate:?}"),
        }
    }
}
