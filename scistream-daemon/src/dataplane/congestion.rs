//! When a socket leaves its congestion control for bbr: one pure rule, and its hands.
//!
//! A control that takes every loss for a full queue (cubic, the kernel's usual one) never fills a
//! long path on which packets are lost for other reasons: at one loss in 10,000 over 58 ms it holds
//! a fifth of 1 Gb/s. bbr goes by the measured rate and fills it; but over a clean path it is no
//! faster, and holds what is sent back for 200 ms in every ten seconds to look for the shortest round
//! trip (`bbr_probe_rtt_mode_ms`). So each socket begins with the system's control, and is given bbr
//! once losses are seen that no queue explains.
//!
//! One such loss is enough where it cost the stream its speed: a window that stopped growing early,
//! because a packet of the slow start was lost, is a fraction of the path's for minutes, and at what
//! it moves the next loss may be as far away.
//!
//! ```text
//!   loss, round trip near its least ──twice────────────────────────────────► bbr, for good
//!                                   ──once, then only the window holds it──► bbr, for good
//!   loss, round trip well above it  ─────────► a full queue: begin again
//! ```

use std::os::fd::AsFd;
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::sys::sockopt;
use crate::sys::tcp_info::TcpInfo;

/// Whose congestion control carries the streams.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum CongestionControl {
    /// The system's; bbr for a stream that loses packets on a long path without a queue.
    #[default]
    Auto,
    /// The system's, whatever is lost.
    System,
}

/// What [`CongestionControl::Auto`] changes to.
pub const FOR_LOSSES: &str = "bbr";

/// How often a socket is asked at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Bytes moved since the last look that make a further one worth its call.
const LOOK_BYTES: u64 = 128 << 10;

/// The shortest least round trip of a long path, µs. Over shorter ones a window grows back within
/// few round trips, whatever was lost.
const LONG_US: u32 = 5_000;

/// What the round trip may exceed its least by while the queue counts as empty, parts of the least.
const SLACK_SHARE: f64 = 0.25;

/// Looks that must have seen a loss without a queue, none with one in between.
const UNEXPLAINED: u8 = 2;

/// How long its window must have held the stream back, with no queue, for one such look to be enough:
/// longer than a recovery over the longest path takes.
const HELD_FOR: Duration = Duration::from_secs(2);

/// What is asked of a socket, as `TCP_INFO` has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Seen {
    /// Segments sent again, less those that had arrived after all (`tcpi_total_retrans`,
    /// `tcpi_dsack_dups`).
    lost: u32,
    /// Smoothed round trip, µs.
    rtt: u32,
    /// Least round trip, µs.
    min_rtt: u32,
    /// Bytes wait to be sent (`tcpi_notsent_bytes`), and no pace keeps them back
    /// (`tcpi_max_pacing_rate`): a window does.
    is_unsent: bool,
    /// For how long the receiver's window has held the stream back, µs (`tcpi_rwnd_limited`).
    rwnd_limited: u64,
}

impl Seen {
    fn of(info: &TcpInfo) -> Self {
        Self {
            lost: info.total_retrans.saturating_sub(info.dsack_dups),
            rtt: info.rtt,
            min_rtt: info.min_rtt,
            // What is less than a segment may wait to become one.
            is_unsent: info.notsent_bytes > info.snd_mss && info.pacing_rate < info.max_pacing_rate,
            rwnd_limited: info.rwnd_limited,
        }
    }

    fn is_queued(self) -> bool {
        f64::from(self.rtt) > f64::from(self.min_rtt) * (1.0 + SLACK_SHARE)
    }
}

/// What was seen of a socket so far.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    /// The most that were lost at any look.
    lost: u32,
    unexplained: u8,
    rwnd_limited: u64,
    /// Since when each look has found the stream held back by its window and no queue.
    held_since: Option<Instant>,
}

impl Losses {
    /// Whether the socket is to have another control now.
    fn explain(&mut self, seen: Seen, now: Instant) -> bool {
        if seen.lost > self.lost {
            self.lost = seen.lost;
            self.unexplained = if seen.min_rtt >= LONG_US && !seen.is_queued() {
                self.unexplained + 1
            } else {
                0
            };
        }
        let is_by_receiver = seen.rwnd_limited > self.rwnd_limited;
        self.rwnd_limited = seen.rwnd_limited;
        let is_held =
            self.unexplained > 0 && seen.is_unsent && !is_by_receiver && !seen.is_queued();
        self.held_since = is_held.then(|| self.held_since.unwrap_or(now));
        let is_held_long = |since| now.saturating_duration_since(since) >= HELD_FOR;
        self.unexplained >= UNEXPLAINED || self.held_since.is_some_and(is_held_long)
    }
}

/// Watches the egress socket of one direction.
#[derive(Debug)]
pub(super) struct CongestionWatch {
    /// `None` once there is nothing more to decide.
    losses: Option<Losses>,
    looked_at: Option<Instant>,
    looked_bytes: u64,
}

impl CongestionWatch {
    /// Watches on behalf of `choice`.
    pub(super) fn new(choice: CongestionControl) -> Self {
        Self {
            losses: (choice == CongestionControl::Auto).then(Losses::default),
            looked_at: None,
            looked_bytes: 0,
        }
    }

    /// Looks at the egress, if it is time: `moved` bytes went into it so far.
    pub(super) fn look(&mut self, egress: impl AsFd, moved: u64, now: impl FnOnce() -> Instant) {
        let Some(losses) = &mut self.losses else {
            return;
        };
        if moved - self.looked_bytes < LOOK_BYTES {
            return;
        }
        let now = now();
        if self.looked_at.is_some_and(|at| now < at + LOOK_EVERY) {
            return;
        }
        (self.looked_at, self.looked_bytes) = (Some(now), moved);
        // A socket that cannot be asked has failed, which its owner finds out.
        let Ok(info) = TcpInfo::of(&egress) else {
            return;
        };
        let seen = Seen::of(&info);
        if losses.explain(seen, now) {
            self.losses = None;
            change(egress, seen);
        }
    }
}

/// Gives the socket [`FOR_LOSSES`]. Where the kernel has none the stream goes on as it was.
fn change(socket: impl AsFd, seen: Seen) {
    static TOLD: Once = Once::new();
    match sockopt::set_congestion_control(socket, FOR_LOSSES) {
        Ok(()) => tracing::debug!(
            control = FOR_LOSSES,
            lost = seen.lost,
            rtt_us = seen.rtt,
            "a stream loses packets without a queue and goes on with another congestion control"
        ),
        Err(error) => TOLD.call_once(|| {
            tracing::warn!(
                %error,
                "a stream loses packets on a long path and would be faster with {FOR_LOSSES}, which cannot be had here; load its module (modprobe tcp_{FOR_LOSSES})"
            );
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_QUEUE: Seen = Seen {
        lost: 0,
        rtt: 24_400,
        min_rtt: 24_000,
        is_unsent: false,
        rwnd_limited: 0,
    };
    const QUEUE: Seen = Seen {
        rtt: 40_000,
        ..NO_QUEUE
    };
    const HELD: Seen = Seen {
        is_unsent: true,
        ..NO_QUEUE
    };

    /// After which look the control changes, of looks that each saw one more loss, or none, and that
    /// much more time in which the receiver's window was closed.
    fn changes_at(looks: &[(Seen, bool)]) -> Option<usize> {
        let mut losses = Losses::default();
        let (mut lost, mut rwnd_limited) = (0, 0);
        let mut now = Instant::now();
        looks.iter().position(|&(seen, is_lossy)| {
            lost += u32::from(is_lossy);
            rwnd_limited += seen.rwnd_limited;
            now += LOOK_EVERY;
            let totals = Seen {
                lost,
                rwnd_limited,
                ..seen
            };
            losses.explain(totals, now)
        })
    }

    /// One loss, and looks after it as often as it takes for one of them to matter.
    fn after_one_loss(seen: Seen) -> Vec<(Seen, bool)> {
        let after = vec![(seen, false); 30];
        [vec![(NO_QUEUE, true)], after].concat()
    }

    #[test]
    fn the_rule_by_table() {
        let short = Seen {
            rtt: 300,
            min_rtt: 290,
            ..NO_QUEUE
        };
        for (name, looks, expected) in [
            (
                "two losses",
                vec![(NO_QUEUE, true), (NO_QUEUE, true)],
                Some(1),
            ),
            (
                "with quiet looks in between",
                vec![
                    (NO_QUEUE, true),
                    (NO_QUEUE, false),
                    (QUEUE, false),
                    (NO_QUEUE, true),
                ],
                Some(3),
            ),
            ("one loss", vec![(NO_QUEUE, true), (NO_QUEUE, false)], None),
            ("a full queue", vec![(QUEUE, true); 20], None),
            (
                "a full queue in between",
                vec![(NO_QUEUE, true), (QUEUE, true), (NO_QUEUE, true)],
                None,
            ),
            ("a short path", vec![(short, true); 20], None),
            ("nothing lost", vec![(NO_QUEUE, false); 20], None),
            ("one loss, and held for 2 s", after_one_loss(HELD), Some(21)),
            (
                "one loss, and held by the receiver",
                after_one_loss(Seen {
                    rwnd_limited: 1,
                    ..HELD
                }),
                None,
            ),
            (
                "one loss, and held with a queue",
                after_one_loss(Seen {
                    is_unsent: true,
                    ..QUEUE
                }),
                None,
            ),
            (
                "one loss, and held now and then",
                [(HELD, true), (HELD, false), (NO_QUEUE, false)]
                    .into_iter()
                    .chain([vec![(HELD, false); 19], vec![(NO_QUEUE, false)]].concat())
                    .collect(),
                None,
            ),
            ("held, and nothing lost", vec![(HELD, false); 30], None),
        ] {
            assert_eq!(changes_at(&looks), expected, "{name}");
        }
    }

    #[test]
    fn segments_that_had_arrived_after_all_are_not_counted_twice() {
        let mut losses = Losses::default();
        let now = Instant::now();
        // One sent again, known to have arrived at the next look; and so again.
        for lost in [1, 0, 1, 0, 1, 0] {
            assert!(!losses.explain(Seen { lost, ..NO_QUEUE }, now));
        }
    }
}
