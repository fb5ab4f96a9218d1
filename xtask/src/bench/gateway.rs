//! `cargo xtask bench` without a suite: one gateway on the fastest links this machine has. Every
//! plane beside no proxy, haproxy, nginx and socat, row by row.
//!
//! ```text
//!   producer ═══ gateway ═══ consumer        namespaces on this machine, anew for every sample
//!                   │
//!        one subject at a time: nobody, s2cs on a plane, a peer
//!
//!   plan ──► stage ──► row: load, measures ──► record ──► verdicts, tables, JSON
//!              ▲
//!            meter (CPU of the whole system, checked against known loads in the same run)
//! ```

#[cfg(test)]
mod fixture;
mod plan;
mod progress;
mod record;
mod report;
mod rows;
mod run;
mod stage;
mod verdict;

use std::time::Duration;

use anyhow::Result;

use self::rows::Row;
use self::run::Settings;
use super::subject::Subject;
use super::{chosen, s2cs_for, seed_from_clock};
use crate::setup::Need;
use crate::workspace;

/// Repeats and seconds of `--quick`.
const QUICK: (usize, u64) = (3, 2);

/// Rows of `--quick`: one of each kind that does not take long.
const QUICK_ROWS: [Row; 3] = [Row::Saturated1, Row::Messages, Row::Connections];

/// Descriptors this process and every subject needs for the idle connections, with room to spare.
const DESCRIPTORS: u64 = 12_000;

/// Arguments of this suite.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GatewayArgs {
    /// How often everything is measured, in a new order each time [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Seconds of one measurement [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Only these rows
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Only these subjects
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// Decides the order of the subjects [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How often a sample is taken again when others used the machine meanwhile
    #[arg(long, default_value_t = 2)]
    retakes: u16,
    /// Three rows, three repeats of 2 s: for a first look
    #[arg(long)]
    quick: bool,
    /// Only check the CPU meter: against known loads, and how much it slows a stream
    #[arg(long)]
    check_meter: bool,
}

impl GatewayArgs {
    /// The same with `--quick`.
    pub(super) fn quick(self) -> Self {
        Self {
            quick: true,
            ..self
        }
    }
}

/// Runs the suite.
///
/// Errors when something it needs is missing or a sample fails.
pub(super) fn run(args: GatewayArgs) -> Result<()> {
    super::prepare(
        &[Need::Namespaces, Need::Rivals, Need::Traffic],
        DESCRIPTORS,
    )?;
    let check_only = args.check_meter;
    let settings = settings(args)?;
    if check_only {
        return run::check_meter(&settings);
    }
    run::compare(&settings)
}

fn settings(args: GatewayArgs) -> Result<Settings> {
    let GatewayArgs {
        repeats,
        seconds,
        rows,
        subjects,
        seed,
        retakes,
        quick,
        check_meter,
    } = args;
    let (usual_repeats, usual_seconds) = if quick { QUICK } else { (5, 3) };
    let usual_rows = if quick {
        &QUICK_ROWS[..]
    } else {
        &Row::USUAL[..]
    };
    let rows = chosen(rows, usual_rows);
    let subjects = if check_meter {
        vec![Subject::NoProxy]
    } else {
        chosen(subjects, &Subject::GATEWAY)
    };
    Ok(Settings {
        repeats: repeats.map_or(usual_repeats, usize::from),
        duration: Duration::from_secs(seconds.unwrap_or(usual_seconds)),
        s2cs: s2cs_for(&subjects)?,
        rows,
        subjects,
        seed: seed.unwrap_or_else(seed_from_clock),
        retakes: usize::from(retakes),
        folder: workspace::target().join("bench"),
    })
}
