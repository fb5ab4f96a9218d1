//! `cargo xtask run`: the product's main job on real input. A real iperf3 streams from producer to
//! consumer, first without a relay, then through the real `s2cs forward` on each plane.
//!
//! ```text
//!   stage     where: three namespaces as root, else loopback
//!   path      one row of the table: no relay, or a gateway on one plane
//!   measure   one load over one path, watched while it goes on
//!   checked   one transfer through each gateway whose every byte is compared
//!   cpu       what the gateway and the machine spend
//!   screen    the line that a person watches
//!   summary   the table at the end
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
use bpf_tests::gateway::{self, Plane};
use bpf_tests::iperf::{Load, Sink};

use crate::setup::{self, Need};
use crate::{build, build_ebpf, workspace};

mod checked;
mod cpu;
mod measure;
mod path;
mod screen;
mod stage;
mod summary;

use checked::Checker;
use measure::Measurement;
use path::Path;
use screen::Screen;
use stage::Stage;

/// How often the live line changes, and how often the sink and the gateways report.
const TICK: Duration = Duration::from_millis(250);

/// Arguments of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct RunArgs {
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
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "S2CS ARGS"
    )]
    s2cs: Vec<OsString>,
}

/// Entry point of `cargo xtask run`.
pub(crate) fn run(args: RunArgs) -> Result<()> {
    if args.s2cs.is_empty() {
        demonstrate(&args)
    } else {
        pass_on(&args.s2cs)
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

fn demonstrate(args: &RunArgs) -> Result<()> {
    let needs = [Need::Traffic, Need::Namespaces];
    // Without root there will be no namespaces to make.
    setup::ensure(if workspace::is_root() {
        &needs
    } else {
        &needs[..1]
    })?;
    let binary = gateway_binary()?;
    let stage = Stage::set()?;
    let screen = Screen::new(args.rounds)?;
    screen.say(&stage.describe(args));
    let sink = Sink::start(stage.sink_place(), stage.sink_address(), TICK, None)?;
    let mut paths = vec![Path::direct()];
    for plane in [Plane::Copy, Plane::Splice, Plane::Sockmap, Plane::Auto] {
        paths.push(Path::relayed(&binary, plane, &stage, sink.address()));
    }

    let duration = Duration::from_secs(args.seconds);
    let load = Load {
        duration,
        streams: args.streams,
        ..Load::default()
    };
    let measurement = Measurement {
        stage: &stage,
        sink: &sink,
        load: &load,
        screen: &screen,
    };
    for round in 1..=args.rounds {
        for path in &mut paths {
            measurement.take(path, round)?;
        }
    }
    let target = sink.address();
    drop(sink);
    let checker = Checker::bind(&stage, target)?;
    for path in &mut paths {
        path.check(&checker, &screen)?;
    }
    screen.clear();

    let rows: Vec<_> = paths.iter().map(Path::row).collect::<Result<_>>()?;
    screen.say(&format!(
        "{}\n\n{}\n",
        summary::table(&rows),
        summary::closing(&rows)
    ));
    for row in &rows {
        if row.lost > 0 || row.mismatches > 0 {
            let (name, lost) = (row.name, row.lost);
            bail!("{name} lost {lost} bytes: the ledger of a connection does not balance");
        }
    }
    Ok(())
}
