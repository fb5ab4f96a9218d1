//! `cargo xtask bench control`: what sessions cost. Real processes, TLS and a token on loopback, in a
//! network namespace of each part's own.
//!
//! ```text
//!   cycles    control_load ──req, hello, update, release──► s2cs serve    alone, and ten at once
//!   connect   s2uc connect ──► two s2cs serve; s2uc release
//!   pending   control_load ──12,000 req that wait, 200 hellos a second──► s2cs serve
//!   active    control_load ──1,000 sessions, a connection each──► s2cs serve
//! ```
//!
//! The gateway's own times are those of its audit log: see `took` in the daemon's `audit`.

mod active;
mod audit;
mod connect;
mod cycles;
mod memory;
mod pending;

use anyhow::Result;

use self::active::Active;
use self::connect::Connect;
use self::cycles::Cycles;
use self::pending::Pending;
use super::sheet::{Bound, Found, Plan, Quantity};
use super::stats::percentile;
use super::{callers, seed_from_clock};
use crate::setup::Need;

/// Descriptors that the gateway needs for the sessions that wait, with room to spare.
const DESCRIPTORS: u64 = 16_000;

/// Arguments of this suite.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ControlArgs {
    /// How often everything is measured, in a new order each time [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// One repeat of a tenth of everything: for a first look
    #[arg(long)]
    quick: bool,
    /// Decides the order, and which sessions are greeted [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How often a part is measured again when others used the machine meanwhile
    #[arg(long, default_value_t = 1)]
    retakes: u16,
}

/// Runs the suite.
///
/// Errors when something it needs is missing or a part fails.
pub(super) fn run(args: &ControlArgs) -> Result<()> {
    super::prepare(&[Need::Namespaces], DESCRIPTORS)?;
    callers::build_all()?;
    let less = |all: usize| if args.quick { all / 10 } else { all };
    let alone = Cycles::new(1, less(1_000));
    let ten = Cycles::new(10, less(1_000));
    let connect = Connect::new(less(30));
    let pending = Pending::new(less(12_000), less(2_000));
    let active = Active::new(less(1_000));
    let plan = Plan {
        suite: "control",
        settings: vec![
            cycles::settings(),
            connect.settings(),
            pending.settings(),
            active.settings(),
            memory::settings(),
        ],
        parts: vec![&alone, &ten, &connect, &pending, &active],
        repeats: args
            .repeats
            .map_or(if args.quick { 1 } else { 5 }, usize::from),
        seed: args.seed.unwrap_or_else(seed_from_clock),
        retakes: usize::from(args.retakes),
        published: published(),
    };
    plan.run()
}

fn published() -> Vec<String> {
    [
        "HPDC'22 (its S2CS): request 120 ms, release 3 ms, 10 MB of memory.",
        "scistream-proto 1.2.1 (two gateways, on loopback): inbound-request 0.9 to 1.4 s, outbound-request 1.1 to 1.8 s.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Milliseconds, half and 99 of 100 of which `micros` do not exceed; a target for each, if any.
fn tails(name: &str, mut micros: Vec<u64>, targets: [Option<Bound>; 2]) -> Vec<Found> {
    micros.sort_unstable();
    let shares = [("p50", 0.5), ("p99", 0.99)];
    let found = shares
        .iter()
        .zip(targets)
        .filter_map(|((word, share), target)| {
            let quantity = Quantity {
                target,
                ..Quantity::new(format!("{name}, {word}"), "ms", 2)
            };
            Some(quantity.found(percentile(&micros, *share)? as f64 / 1e3))
        });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_milliseconds_with_their_targets() {
        let micros = (1..=100).rev().map(|at| at * 1_000).collect();
        let found = tails("x", micros, [Some(Bound::AtMost(2.0)), None]);
        let values: Vec<_> = found.iter().map(|it| it.value).collect();
        assert_eq!(values, [50.0, 99.0]);
        assert_eq!(found[0].quantity.name, "x, p50");
        assert_eq!(found[0].quantity.target, Some(Bound::AtMost(2.0)));
        assert_eq!(tails("x", Vec::new(), [None, None]), []);
    }
}
