//! `cargo xtask bench caps`: whether rates are held. Everyone sends as fast as they can; what arrives
//! is counted at the consumer.
//!
//! ```text
//!   producer ═══ s2cs serve, sessions of its own service ═══ consumer     namespaces, anew each time
//!
//!   held     on each plane four capped sessions at once: 200 Mb/s and 2 Gb/s, 1 and 8 connections
//!   shared   two sessions want more than the capacity: one reserves a part of it, the other nothing
//!   free     one session alone on the link, with a reservation and without
//! ```

mod free;
mod held;
mod scene;
mod shared;

use std::time::Duration;

use anyhow::Result;
use bpf_tests::gateway::Plane;

use self::free::Free;
use self::held::Held;
use self::shared::{Shared, Wish};
use super::sheet::{Part, Plan};
use super::{callers, seed_from_clock};
use crate::setup::Need;

/// Descriptors that a run needs: little.
const DESCRIPTORS: u64 = 4_096;

/// Arguments of this suite.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CapsArgs {
    /// How often everything is measured, in a new order each time [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Seconds of one measurement [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// One repeat of 3 s: for a first look
    #[arg(long)]
    quick: bool,
    /// Decides the order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How often a part is measured again when others used the machine meanwhile
    #[arg(long, default_value_t = 1)]
    retakes: u16,
}

/// Runs the suite.
///
/// Errors when something it needs is missing or a part fails.
pub(super) fn run(args: &CapsArgs) -> Result<()> {
    super::prepare(&[Need::Namespaces, Need::Traffic], DESCRIPTORS)?;
    callers::build_all()?;
    let (usual_repeats, usual_seconds) = if args.quick { (1, 3) } else { (5, 10) };
    let window = Duration::from_secs(args.seconds.unwrap_or(usual_seconds));
    let held = Plane::ALL.map(|plane| Held { plane, window });
    let shared = [Wish::Everything, Wish::Reservation].map(|wish| Shared { wish, window });
    let free = Free { window };
    let mut parts: Vec<&dyn Part> = Vec::new();
    parts.extend(held.iter().map(|part| part as &dyn Part));
    parts.extend(shared.iter().map(|part| part as &dyn Part));
    parts.push(&free);
    let plan = Plan {
        suite: "caps",
        settings: settings(window),
        parts,
        repeats: args.repeats.map_or(usual_repeats, usize::from),
        seed: args.seed.unwrap_or_else(seed_from_clock),
        retakes: usize::from(args.retakes),
        published: Vec::new(),
    };
    plan.run()
}

fn settings(window: Duration) -> Vec<String> {
    let seconds = window.as_secs();
    vec![
        format!(
            "Rates are bytes of payload that the consumer's applications read in {seconds} s, by the clock, after {} s for queues to fill and rates to settle.",
            scene::LEAD.as_secs_f64()
        ),
        "Hosts: namespaces joined by veth with receive steering, cubic, no fq: TCP paces itself."
            .to_owned(),
        held::settings(),
        shared::settings(),
        free::settings(),
    ]
}
