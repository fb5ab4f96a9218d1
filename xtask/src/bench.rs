//! `cargo xtask bench`: how fast the gateway is, beside no proxy and beside what others built.
//!
//! ```text
//!   suite     asks                                              hosts
//!   gateway   what does each plane cost, row by row?            producer - gateway - consumer
//!   peers     who else does this, and how well?                 one gateway, and two
//!   fabric    what remains of it over a real distance?          two gateways, INDIS'22's five RTTs
//!   scale     what do more streams and more connections cost?   one gateway
//!   control   what does a session cost, in time and memory?     s2cs serve on loopback
//!   caps      are caps and reservations held?                   producer - gateway - consumer
//!
//!   gateway ────► record ──► Markdown, JSON
//!   control, caps ► sheet ─► Markdown, JSON
//!   the others ──► results ► Markdown, JSON, one HTML page (`bench report`), `--compare`
//! ```
//!
//! Every figure is a median over repeats that were interleaved in an order drawn from a printed
//! seed; a difference inside the noise is not called one ([`noise`]).

mod bar;
mod calendar;
mod callers;
mod caps;
mod chain;
mod compare;
mod control;
mod fabric;
mod gateway;
mod html;
mod idle_clock;
mod judge;
mod lab;
mod machine;
mod markdown;
mod meter;
mod metric;
mod multitude;
mod net;
mod noise;
mod others;
mod peer;
mod probes;
mod process_tree;
mod published;
mod relay;
mod report;
mod results;
mod retransmits;
mod rivals;
mod scale;
mod scene;
mod session;
mod sheet;
mod stats;
mod subject;
mod sys;
mod table;
mod tunnel;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use bpf_tests::load::crowd::{self, Part};
use rustix::process::{Resource, Rlimit};

use self::caps::CapsArgs;
use self::control::ControlArgs;
use self::gateway::GatewayArgs;
use self::lab::LabArgs;
use self::report::ReportArgs;
use self::subject::{Maker, Subject};
use crate::setup::{self, Need};
use crate::{build, build_ebpf, cmd, workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    suite: Option<SuiteArgs>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// What to measure; without one, `gateway`.
#[derive(Clone, Debug, clap::Subcommand)]
enum SuiteArgs {
    /// One gateway, row by row: bulk, capped links, messages, new and idle connections
    Gateway(GatewayArgs),
    /// The same in a few minutes: `gateway --quick`
    Quick(GatewayArgs),
    /// The programs of others, on one gateway and between two
    Peers(LabArgs),
    /// Two gateways at the five distances of INDIS'22, messages of 512 B to 1 MiB
    Fabric(LabArgs),
    /// How CPU, memory and latency grow with streams and connections
    Scale(LabArgs),
    /// Sessions: how long calls take, how many may wait, how much memory they need
    Control(ControlArgs),
    /// Rates: whether caps and reservations are held, on every plane
    Caps(CapsArgs),
    /// Write the tables and the page of a finished run again, or compare two
    Report(ReportArgs),
    /// One process of many connections; `scale` starts it
    #[command(subcommand, hide = true)]
    Crowd(Part),
}

/// Entry point of `cargo xtask bench`.
pub(crate) fn run(args: BenchArgs) -> Result<()> {
    let BenchArgs { suite, gateway } = args;
    let suite = suite.unwrap_or(SuiteArgs::Gateway(gateway));
    if let SuiteArgs::Report(args) = suite {
        return report::run(&args);
    }
    // Before the optimised build, which takes minutes.
    ensure!(
        workspace::is_root(),
        "bench makes network namespaces and idle-priority threads: run it as root"
    );
    if cfg!(debug_assertions) {
        return go_on_optimised();
    }
    match suite {
        SuiteArgs::Gateway(args) => gateway::run(args),
        SuiteArgs::Quick(args) => gateway::run(args.quick()),
        SuiteArgs::Peers(args) => lab::run(&rivals::Rivals, args),
        SuiteArgs::Fabric(args) => lab::run(&fabric::Fabric, args),
        SuiteArgs::Scale(args) => lab::run(&scale::Scale, args),
        SuiteArgs::Control(args) => control::run(&args),
        SuiteArgs::Caps(args) => caps::run(&args),
        SuiteArgs::Report(args) => report::run(&args),
        SuiteArgs::Crowd(part) => {
            raise_descriptor_limit(0)?;
            crowd::run(part)
        }
    }
}

/// Sees to it that a suite can run: programs, descriptors.
///
/// Errors with what is missing and what to do.
fn prepare(needs: &[Need], descriptors: u64) -> Result<()> {
    setup::ensure(needs)?;
    others::adopt_orphans()?;
    raise_descriptor_limit(descriptors)
}

/// The load generators and the meter are part of this program, and what they cost without
/// optimisation would be measured, too.
fn go_on_optimised() -> Result<()> {
    let mut release = cmd::cargo();
    release.args(["run", "--quiet", "--release", "--package", "xtask", "--"]);
    release.args(std::env::args_os().skip(1));
    Err(release.exec()).context("cannot start the optimised build of xtask")
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

fn raise_descriptor_limit(wanted: u64) -> Result<()> {
    let Rlimit {
        current: _,
        maximum,
    } = rustix::process::getrlimit(Resource::Nofile);
    if let Some(maximum) = maximum
        && maximum < wanted
    {
        bail!(
            "a process may have {maximum} descriptors here, the bench needs {wanted}: raise the hard limit"
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
