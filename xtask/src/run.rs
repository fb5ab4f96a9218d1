//! `cargo xtask run`: the product's main job on real input. A real iperf3 streams through the real
//! gateways, set up as their users do it, and beside them without any.
//!
//! ```text
//!   session     two gateways: `s2cs init`, `s2cs serve`, `s2uc connect`, stream, `s2uc release`
//!   forward     one gateway without a control plane: `s2cs forward`
//!   ─────────── what both are made of:
//!   stage       where: network namespaces as root, else loopback
//!   path        one row of the table: no gateway, or gateways on one plane
//!   measure     one load over one path, watched while it goes on
//!   watch       which plane moves the bytes at this moment
//!   checked     one transfer over each path whose every byte is compared
//!   cpu         what the gateways and the machine spend
//!   screen      what a person reads, and the line that moves
//!   summary     the table at the end
//! ```
//!
//! All gateways are up from the start, since an idle one costs nothing, and the rounds are
//! interleaved, so that a machine that grows slower or faster does so for every row.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bpf_tests::gateway;
use bpf_tests::iperf::Load;

use crate::setup::{self, Need};
use crate::{build, build_ebpf, workspace};

mod checked;
mod cpu;
mod forward;
mod measure;
mod path;
mod screen;
mod session;
mod stage;
mod summary;
mod watch;

use screen::Screen;
use summary::Row;

/// How often the live line changes, and how often the sink and the gateways report.
const TICK: Duration = Duration::from_millis(250);

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
    /// What to show
    #[arg(value_enum, default_value_t)]
    demonstration: Demonstration,
    /// How long each measurement streams, seconds
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often each path is measured; the table shows medians
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// TCP streams side by side
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    streams: u32,
    /// Run the gateway with these arguments instead: `cargo xtask run -- s2cs probe`
    #[arg(last = true, allow_hyphen_values = true, value_name = "S2CS ARGS")]
    s2cs: Vec<OsString>,
}

/// What can be shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Demonstration {
    /// Two gateways, and a session through both that `s2uc connect` makes over TLS
    #[default]
    Session,
    /// One gateway without a control plane: `s2cs forward`
    Forward,
}

/// Entry point of `cargo xtask run`.
pub(crate) fn run(args: RunArgs) -> Result<()> {
    if !args.s2cs.is_empty() {
        return pass_on(&args.s2cs);
    }
    match args.demonstration {
        Demonstration::Session => session::demonstrate(&args),
        Demonstration::Forward => forward::demonstrate(&args),
    }
}

impl RunArgs {
    /// What iperf3 is asked for; `reverse` has the one who listens send.
    fn load(&self, reverse: bool) -> Load {
        Load {
            duration: Duration::from_secs(self.seconds),
            streams: self.streams,
            reverse,
            ..Load::default()
        }
    }
}

/// Becomes `s2cs ARGS`, so that its exit code and its signals are its own.
fn pass_on(args: &[OsString]) -> Result<()> {
    let named = args.first().is_some_and(|word| word == "s2cs");
    let binary = gateway_binary()?;
    let refused = Command::new(&binary)
        .args(&args[usize::from(named)..])
        .exec();
    Err(refused).with_context(|| format!("cannot start {}", binary.display()))
}

/// The gateway of this checkout, built first where it is missing or older than its source; what
/// `SCISTREAM_S2CS` names is taken as it is.
fn gateway_binary() -> Result<PathBuf> {
    if std::env::var_os(gateway::BINARY_VARIABLE).is_none() {
        build_ebpf::build()?;
        build::daemon()?;
    }
    gateway::find_s2cs("release")
}

/// Installs what is missing and builds; gives the gateway's binary.
fn prepare() -> Result<PathBuf> {
    let needs = [Need::Traffic, Need::Namespaces];
    // Without root there will be no namespaces to make.
    setup::ensure(if workspace::is_root() {
        &needs
    } else {
        &needs[..1]
    })?;
    gateway_binary()
}

/// Prints the table; lost bytes are a failure.
fn conclude(rows: &[Row], screen: &Screen) -> Result<()> {
    screen.say(&format!(
        "{}\n\n{}\n",
        summary::table(rows),
        summary::closing(rows)
    ));
    for row in rows {
        if row.lost > 0 || row.mismatches > 0 {
            let (name, lost) = (row.name, row.lost);
            bail!(
                "{name} lost {lost} bytes, or its ledger does not balance; this must never be: report \
                 it with what `cargo xtask test -- contract` says on this machine"
            );
        }
    }
    Ok(())
}
