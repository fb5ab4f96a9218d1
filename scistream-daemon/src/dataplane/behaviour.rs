//! When a direction leaves splice for sockmap: one pure rule over what was seen of it.
//!
//! Sockmap saves the system calls and the wake-up of every message; splice keeps pages together
//! where bytes come in bulk. So the rule looks at how much came each time the ingress ran empty,
//! and at whether the egress ever made it wait: a flow that the egress limits would only be passed
//! back to user space by the room gate.

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

/// What was seen of one direction since the last judgement.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Behaviour {
    /// How often the ingress ran empty with everything delivered.
    pub drains: u32,
    /// Bytes moved.
    pub bytes: u64,
    /// Whether the egress ever had no room.
    pub blocked: bool,
}

/// What the rule says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// Go on watching.
    Wait,
    /// Stay; begin a new window.
    Stay,
    /// Leave for sockmap now.
    Promote,
}

/// Drains in a window: enough to tell a pattern from a handshake.
pub const WINDOW_DRAINS: u32 = 64;
/// Bytes per drain up to which sockmap costs less than splice.
pub const MESSAGE_BYTES: u64 = 16 * 1024;

impl Rule {
    /// Judges a direction at a moment when its ingress is empty and everything is delivered.
    pub fn judge(self, seen: &Behaviour) -> Judgement {
        match self {
            Self::AtOnce => Judgement::Promote,
            Self::Never => Judgement::Stay,
            Self::ByBehaviour if seen.drains < WINDOW_DRAINS => Judgement::Wait,
            Self::ByBehaviour if seen.blocked => Judgement::Stay,
            Self::ByBehaviour if seen.bytes > MESSAGE_BYTES * u64::from(seen.drains) => {
                Judgement::Stay
            }
            Self::ByBehaviour => Judgement::Promote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_by_table() {
        let messages = Behaviour {
            drains: 64,
            bytes: 64 * 1024,
            blocked: false,
        };
        let table = [
            (
                "handshake",
                Behaviour {
                    drains: 63,
                    ..messages
                },
                Judgement::Wait,
            ),
            ("1 KiB messages", messages, Judgement::Promote),
            (
                "16 KiB messages",
                Behaviour {
                    bytes: 64 * 16_384,
                    ..messages
                },
                Judgement::Promote,
            ),
            (
                "bulk",
                Behaviour {
                    bytes: 64 * 16_384 + 1,
                    ..messages
                },
                Judgement::Stay,
            ),
            (
                "slow reader",
                Behaviour {
                    blocked: true,
                    ..messages
                },
                Judgement::Stay,
            ),
            ("silence", Behaviour::default(), Judgement::Wait),
        ];
        for (name, seen, expected) in table {
            assert_eq!(Rule::ByBehaviour.judge(&seen), expected, "{name}");
            assert_eq!(Rule::AtOnce.judge(&seen), Judgement::Promote, "{name}");
            assert_eq!(Rule::Never.judge(&seen), Judgement::Stay, "{name}");
        }
    }
}
