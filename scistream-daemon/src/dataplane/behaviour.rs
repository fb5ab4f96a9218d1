//! When a direction leaves splice for sockmap: one pure rule over what was seen of it.
//!
//! Sockmap saves the system calls and the wake-up of every message; splice keeps pages together
//! where bytes come in bulk. So the rule looks at how much came each time the ingress ran empty, at
//! how often that was, and at whether the egress ever made it wait: a flow that the egress limits
//! would only be passed back to user space by the room gate. Small messages that are sent flat out
//! come several at a time, which splice moves as cheaply; and what is flat out now may be bulk next,
//! and a direction that left does not come back. So one window is not enough: on busy cores a stream
//! may look like messages for a tenth of a second.

use std::time::{Duration, Instant};

/// Who decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rule {
    /// Every direction, at the first moment its ingress is empty.
    AtOnce,
    /// Each direction by its behaviour.
    ByBehaviour,
    /// No direction.
    Never,
}

/// What was seen of one direction since its window began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Behaviour {
    /// Windows right before this one in which the direction carried messages.
    pub windows: u32,
    /// How often the ingress ran empty with everything delivered.
    pub drains: u32,
    /// From the first of these to the last, each pause counted up to [`COUNTED_PAUSE`]: a silence
    /// says nothing of how fast the rest came.
    pub lasted: Duration,
    /// Bytes moved.
    pub bytes: u64,
    /// Whether the egress ever had no room.
    pub blocked: bool,
    /// When the ingress last ran empty.
    pub last: Option<Instant>,
}

/// What the rule says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// Go on watching.
    Wait,
    /// Stay; begin a new window, as if there had been none.
    Stay,
    /// These were messages; begin the next window.
    Watch,
    /// Leave for sockmap now.
    Promote,
}

/// Drains in a window: a tenth of a second of messages every 100 µs, so that neither a handshake nor
/// a stall within a stream looks like a pattern.
pub const WINDOW_DRAINS: u32 = 1_024;
/// Windows in a row that must be of messages.
pub const WINDOWS: u32 = 4;
/// Bytes per drain up to which sockmap costs no more than splice: messages of 16 KiB, half of which
/// were late and arrive two at a time.
pub const MESSAGE_BYTES: u64 = 24 * 1024;
/// Between drains at least, on average: what comes more often was sent flat out. Small writes on
/// busy cores were seen 10 to 50 µs apart below [`MESSAGE_RATE`], and further apart above it only.
pub const MESSAGE_DISTANCE: Duration = Duration::from_micros(64);
/// Bytes per second at most: 0.75 Gb/s.
pub const MESSAGE_RATE: u64 = 93_750_000;

/// The most that a pause between two drains counts.
pub const COUNTED_PAUSE: Duration = Duration::from_millis(1);

impl Behaviour {
    /// The ingress ran empty at `now`, after `bytes`.
    pub fn on_drained(&mut self, bytes: u64, now: Instant) {
        let pause = self.last.map_or(Duration::ZERO, |last| now - last);
        // A connection may live for months without being judged, where there is no verdict.
        self.drains = self.drains.saturating_add(1);
        self.lasted += pause.min(COUNTED_PAUSE);
        self.bytes += bytes;
        self.last = Some(now);
    }

    /// The window after one of messages.
    pub fn next_window(&self) -> Self {
        Self {
            windows: self.windows + 1,
            last: self.last,
            ..Self::default()
        }
    }

    fn is_flat_out(&self) -> bool {
        self.lasted < MESSAGE_DISTANCE * self.drains
            || u128::from(self.bytes) * 1_000_000_000
                > u128::from(MESSAGE_RATE) * self.lasted.as_nanos()
    }

    fn is_bulk(&self) -> bool {
        self.bytes > MESSAGE_BYTES * u64::from(self.drains)
    }
}

impl Rule {
    /// Judges a direction at a moment when its ingress is empty and everything is delivered.
    pub fn judge(self, seen: &Behaviour) -> Judgement {
        match self {
            Self::AtOnce => Judgement::Promote,
            Self::Never => Judgement::Stay,
            Self::ByBehaviour if seen.drains < WINDOW_DRAINS => Judgement::Wait,
            Self::ByBehaviour if seen.blocked || seen.is_bulk() || seen.is_flat_out() => {
                Judgement::Stay
            }
            Self::ByBehaviour if seen.windows + 1 < WINDOWS => Judgement::Watch,
            Self::ByBehaviour => Judgement::Promote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_by_table() {
        let drains = u64::from(WINDOW_DRAINS);
        let messages = Behaviour {
            windows: WINDOWS - 1,
            drains: WINDOW_DRAINS,
            lasted: Duration::from_millis(drains),
            bytes: drains * 1_024,
            blocked: false,
            last: None,
        };
        let handshake = Behaviour {
            drains: WINDOW_DRAINS - 1,
            ..messages
        };
        let large = Behaviour {
            bytes: drains * MESSAGE_BYTES,
            ..messages
        };
        let bulk = Behaviour {
            bytes: large.bytes + 1,
            ..messages
        };
        let often = Behaviour {
            lasted: MESSAGE_DISTANCE * WINDOW_DRAINS - Duration::from_nanos(1),
            ..messages
        };
        let fast = Behaviour {
            lasted: Duration::from_micros(100 * drains),
            bytes: drains * 9_376,
            ..messages
        };
        let almost = Behaviour {
            bytes: drains * 9_375,
            ..fast
        };
        let too_soon = Behaviour {
            windows: WINDOWS - 2,
            ..messages
        };
        let slow_reader = Behaviour {
            blocked: true,
            ..messages
        };
        let table = [
            ("silence", Behaviour::default(), Judgement::Wait),
            ("handshake", handshake, Judgement::Wait),
            ("1 KiB messages", messages, Judgement::Promote),
            ("the window before", too_soon, Judgement::Watch),
            ("24 KiB messages", large, Judgement::Promote),
            ("bulk", bulk, Judgement::Stay),
            ("1 KiB flat out", often, Judgement::Stay),
            ("a fast stream", fast, Judgement::Stay),
            ("messages every 100 µs", almost, Judgement::Promote),
            ("slow reader", slow_reader, Judgement::Stay),
        ];
        for (name, seen, expected) in table {
            assert_eq!(Rule::ByBehaviour.judge(&seen), expected, "{name}");
            assert_eq!(Rule::AtOnce.judge(&seen), Judgement::Promote, "{name}");
            assert_eq!(Rule::Never.judge(&seen), Judgement::Stay, "{name}");
        }
    }

    #[test]
    fn a_silence_does_not_hide_how_fast_the_rest_came() {
        let mut seen = Behaviour::default();
        let mut now = Instant::now();
        for distance in [Duration::ZERO, COUNTED_PAUSE / 2, COUNTED_PAUSE * 1_000] {
            now += distance;
            seen.on_drained(10, now);
        }
        assert_eq!((seen.drains, seen.bytes), (3, 30));
        assert_eq!(seen.lasted, COUNTED_PAUSE + COUNTED_PAUSE / 2);
    }

    #[test]
    fn every_window_in_a_row_must_be_of_messages() {
        let mut seen = Behaviour::default();
        let mut now = Instant::now();
        for window in 1..=WINDOWS {
            for drain in 1..=WINDOW_DRAINS {
                assert_eq!(Rule::ByBehaviour.judge(&seen), Judgement::Wait, "{drain}");
                now += MESSAGE_DISTANCE * 2;
                seen.on_drained(1_024, now);
            }
            let expected = match window {
                WINDOWS => Judgement::Promote,
                _ => Judgement::Watch,
            };
            assert_eq!(Rule::ByBehaviour.judge(&seen), expected, "{window}");
            seen = seen.next_window();
        }
    }

    #[test]
    fn drains_are_counted_for_as_long_as_a_connection_lives() {
        let mut seen = Behaviour {
            drains: u32::MAX,
            ..Behaviour::default()
        };
        seen.on_drained(10, Instant::now());
        assert_eq!(seen.drains, u32::MAX);
    }
}
