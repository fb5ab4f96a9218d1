//! `cargo xtask bench`: every plane beside no proxy, haproxy, nginx and socat, in one run.
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

mod calendar;
#[cfg(test)]
mod fixture;
mod machine;
mod meter;
mod metric;
mod others;
mod peer;
mod plan;
mod process_tree;
mod progress;
mod record;
mod relay;
mod report;
mod rows;
mod run;
mod stage;
mod stats;
mod subject;
mod sys;
mod table;
mod verdict;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use rustix::process::{Resource, Rlimit};

use self::rows::Row;
use self::run::Settings;
use self::subject::{Maker, Subject};
use crate::setup::Need;
use crate::{build, build_ebpf, cmd, setup, workspace};

/// Repeats and seconds of `--quick`.
const QUICK: (usize, u64) = (3, 2);

/// Rows of `--quick`: one of each kind that does not take long.
const QUICK_ROWS: [Row; 3] = [Row::Saturated1, Row::Messages, Row::Connections];

/// Descriptors this process and every subject needs for the idle connections, with room to spare.
const DESCRIPTORS: u64 = 12_000;

/// Arguments of `cargo xtask bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
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

/// Entry point of `cargo xtask bench`.
pub(crate) fn run(args: BenchArgs) -> Result<()> {
    if cfg!(debug_assertions) {
        return go_on_optimised();
    }
    ensure!(
        workspace::is_root(),
        "bench makes network namespaces and idle-priority threads: run it as root"
    );
    setup::ensure(&[Need::Namespaces, Need::Rivals, Need::Traffic])?;
    raise_descriptor_limit()?;
    let check_only = args.check_meter;
    let settings = settings(args)?;
    if check_only {
        return run::check_meter(&settings);
    }
    run::compare(&settings)
}

/// The load generators and the meter are part of this program, and what they cost without
/// optimisation would be measured, too.
fn go_on_optimised() -> Result<()> {
    let mut release = cmd::cargo();
    release.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    release.args(std::env::args_os().skip(1));
    Err(release.exec()).context("cannot start the optimised build of xtask")
}

fn settings(args: BenchArgs) -> Result<Settings> {
    let BenchArgs {
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
        Row::value_variants()
    };
    let rows = chosen(rows, usual_rows);
    let subjects = if check_meter {
        vec![Subject::NoProxy]
    } else {
        chosen(subjects, Subject::value_variants())
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

/// What was asked for, each once and in the order of the tables; everything when nothing was.
fn chosen<T: Copy + Ord>(mut asked: Vec<T>, everything: &[T]) -> Vec<T> {
    if asked.is_empty() {
        return everything.to_vec();
    }
    asked.sort_unstable();
    asked.dedup();
    asked
}

/// Our own binary, built when a subject needs it.
fn s2cs_for(subjects: &[Subject]) -> Result<Option<PathBuf>> {
    if !subjects
        .iter()
        .any(|subject| matches!(subject.maker(), Maker::Ours(_)))
    {
        return Ok(None);
    }
    if std::env::var_os(bpf_tests::gateway::BINARY_VARIABLE).is_none() {
        build_ebpf::build()?;
        build::daemon()?;
    }
    bpf_tests::gateway::find_s2cs("release").map(Some)
}

fn seed_from_clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn raise_descriptor_limit() -> Result<()> {
    let Rlimit {
        current: _,
        maximum,
    } = rustix::process::getrlimit(Resource::Nofile);
    if let Some(maximum) = maximum
        && maximum < DESCRIPTORS
    {
        bail!(
            "a process may have {maximum} descriptors here, the bench needs {DESCRIPTORS}: raise the hard limit"
        );
    }
    rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .context("raising the descriptor limit")
}
