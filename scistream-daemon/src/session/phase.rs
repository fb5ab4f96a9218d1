//! Where a session is in its life.
//!
//! ```text
//!   Opening ──Bound──► AwaitingHello ──Greet──► Ready ──Target──► Forwarding ─┐ Greet, Target
//!      │                 │     └───────────Target────────────────────▲    ▲───┘ (Ready: Greet)
//!      │                 │                        │                  │
//!      │                 └──────────Drain─────────┴──────────────────┴──► Draining ──Settle─► Closed
//!      │                 │                        │                  │        │ End              ▲
//!      └──End, Drain─────┴──────────End───────────┴──────────────────┴──► Ending ────Settle──────┘
//! ```
//!
//! Listeners are open from `Bound` until the session leaves for `Draining` or `Ending`. `Settle` is
//! that listeners and connections are gone; Draining and Ending take Drain and End again.

use std::fmt;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Its listeners are being bound.
    Opening,
    /// Its listeners are bound, and its application has not said hello. Connections wait in the
    /// kernel.
    AwaitingHello,
    /// Its listeners are bound, and there is no target. Connections wait in the kernel.
    Ready,
    /// Its listeners forward to the targets.
    Forwarding,
    /// Its listeners are closed; connections go on until they end or the drain time is over.
    Draining,
    /// Its listeners are closed; connections are being reset.
    Ending,
    /// Nothing of it is left.
    Closed,
}

/// What can happen to a session, as far as its phase cares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// All its listeners are bound.
    Bound,
    /// Its connections may end by themselves.
    Drain,
    /// It ends now.
    End,
    /// A hello came, or none is needed.
    Greet,
    /// Listeners are closed and connections gone.
    Settle,
    /// Targets came.
    Target,
}

/// A step that a phase does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct IllegalStep;

impl Phase {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Opening,
        Self::AwaitingHello,
        Self::Ready,
        Self::Forwarding,
        Self::Draining,
        Self::Ending,
        Self::Closed,
    ];

    /// The phase after `step`.
    pub(super) fn on(self, step: Step) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Opening, Step::Bound) => Ok(Self::AwaitingHello),
            (Self::Opening, Step::Drain) => Ok(Self::Ending),
            (Self::AwaitingHello | Self::Ready, Step::Greet) => Ok(Self::Ready),
            (Self::AwaitingHello | Self::Ready | Self::Forwarding, Step::Target)
            | (Self::Forwarding, Step::Greet) => Ok(Self::Forwarding),
            (
                Self::AwaitingHello | Self::Ready | Self::Forwarding | Self::Draining,
                Step::Drain,
            ) => Ok(Self::Draining),
            (
                Self::Opening
                | Self::AwaitingHello
                | Self::Ready
                | Self::Forwarding
                | Self::Draining
                | Self::Ending,
                Step::End,
            )
            | (Self::Ending, Step::Drain) => Ok(Self::Ending),
            (Self::Draining | Self::Ending, Step::Settle) => Ok(Self::Closed),
            (Self::Opening, Step::Greet | Step::Settle | Step::Target)
            | (Self::AwaitingHello | Self::Ready | Self::Forwarding, Step::Bound | Step::Settle)
            | (Self::Draining | Self::Ending, Step::Bound | Step::Greet | Step::Target)
            | (
                Self::Closed,
                Step::Bound | Step::Drain | Step::End | Step::Greet | Step::Settle | Step::Target,
            ) => Err(IllegalStep),
        }
    }

    /// Whether its listeners are bound and it takes hellos and updates.
    pub fn is_open(self) -> bool {
        match self {
            Self::AwaitingHello | Self::Ready | Self::Forwarding => true,
            Self::Opening | Self::Draining | Self::Ending | Self::Closed => false,
        }
    }

    /// Whether it is on its way out, or gone.
    pub fn is_over(self) -> bool {
        match self {
            Self::Draining | Self::Ending | Self::Closed => true,
            Self::Opening | Self::AwaitingHello | Self::Ready | Self::Forwarding => false,
        }
    }

    /// The name in logs, metrics and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::AwaitingHello => "awaiting_hello",
            Self::Ready => "ready",
            Self::Forwarding => "forwarding",
            Self::Draining => "draining",
            Self::Ending => "ending",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every phase with every step.
    const TABLE: &str = "
opening         bound=awaiting_hello drain=ending end=ending greet=- settle=- target=-
awaiting_hello  bound=- drain=draining end=ending greet=ready settle=- target=forwarding
ready           bound=- drain=draining end=ending greet=ready settle=- target=forwarding
forwarding      bound=- drain=draining end=ending greet=forwarding settle=- target=forwarding
draining        bound=- drain=draining end=ending greet=- settle=closed target=-
ending          bound=- drain=ending end=ending greet=- settle=closed target=-
closed          bound=- drain=- end=- greet=- settle=- target=-
";

    #[test]
    fn every_phase_knows_what_every_step_does() {
        let steps = [
            ("bound", Step::Bound),
            ("drain", Step::Drain),
            ("end", Step::End),
            ("greet", Step::Greet),
            ("settle", Step::Settle),
            ("target", Step::Target),
        ];
        let mut table = String::from("\n");
        for phase in Phase::ALL {
            table += &format!("{:<15}", phase.as_str());
            for (name, step) in steps {
                let next = phase.on(step).map_or("-", Phase::as_str);
                table += &format!(" {name}={next}");
            }
            table += "\n";
        }
        assert_eq!(table, TABLE);
    }

    #[test]
    fn no_way_leads_out_of_closed_and_all_ways_lead_to_it() {
        for phase in Phase::ALL {
            let ended = phase.on(Step::End).and_then(|phase| phase.on(Step::Settle));
            let expected = (phase != Phase::Closed).then_some(Phase::Closed);
            assert_eq!(ended.ok(), expected, "{phase}");
        }
    }
}
