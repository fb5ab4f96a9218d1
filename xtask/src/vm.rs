//! `cargo xtask vm`: the kernel tests on other kernels than this machine's, emulated.
//!
//! ```text
//!   Debian's packages ──► store (target/vm/cache)      emulator, shell, kernels: once per version
//!          tests, s2cs ──► image per kernel             selection.rs says which cases
//!                              │
//!            machine: kernel + image ──► guest.sh: probe, suites ──► results (tar over virtio-serial)
//!                                                                        │
//!                     table, exit code ◄── outcome: every case heard of ─┘► target/vm/KERNEL/
//! ```
//!
//! Needs no root: guests are processes, packages are unpacked and not installed. Correctness only;
//! speed in an emulated machine says nothing.

mod cpio;
mod fetch;
mod guests;
mod image;
mod machine;
mod modules;
mod outcome;
mod scratch;
mod selection;
mod series;
mod store;
mod suites;
mod table;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

pub(crate) use self::fetch::Packages;
use self::fetch::say;
use self::guests::{Guests, Report, Tools};
use self::image::Payload;
use self::scratch::Scratch;
use self::series::Series;
use self::store::Store;
use self::suites::Suites;
use crate::setup::{self, Need};
use crate::{build, build_ebpf, workspace};

/// The file in which a kernel's probe is left, in the folder of its name below [`folder`]; the bench
/// takes it into its report.
pub(crate) const PROBE_FILE: &str = "probe.txt";

/// What a run of the usual kernels may take on two idle cores, from nothing fetched to the table;
/// without the builds, which CI shares with its other steps.
const BUDGET: Duration = Duration::from_secs(240);

/// Arguments of `cargo xtask vm`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these kernels [default: 6.1 6.12]
    #[arg(value_enum, value_name = "KERNEL")]
    kernels: Vec<Series>,
    /// All kernels, and the cases that take long
    #[arg(long)]
    all: bool,
    /// A prompt in a guest with the first kernel, instead of the tests
    #[arg(long, conflicts_with = "all")]
    shell: bool,
}

/// Entry point of `cargo xtask vm`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args {
        kernels,
        all,
        shell,
    } = args;
    build_ebpf::build()?;
    build::daemon()?;
    let kernels = chosen(kernels, all);
    if shell {
        return prompt(&kernels);
    }
    timed(&kernels, all)
}

/// The part of CI, around the `s2cs` that is built already: the usual kernels, or everything.
pub(crate) fn ci(everything: bool) -> Result<()> {
    timed(&chosen(Vec::new(), everything), everything)
}

/// Runs the tests and says how long it took.
fn timed(kernels: &[Series], everything: bool) -> Result<()> {
    let started = Instant::now();
    let outcome = on(kernels, everything);
    let took = started.elapsed().as_secs();
    if kernels == Series::USUAL && !everything {
        say(&format!("{took} s; the budget is {} s", BUDGET.as_secs()));
    } else {
        say(&format!("{took} s"));
    }
    outcome
}

/// The kernels asked for, each once and oldest first.
fn chosen(mut kernels: Vec<Series>, all: bool) -> Vec<Series> {
    if kernels.is_empty() {
        let default: &[Series] = if all { &Series::ALL } else { &Series::USUAL };
        return default.to_vec();
    }
    kernels.sort_unstable();
    kernels.dedup();
    kernels
}

/// Runs the tests on each kernel and prints what they came to. One that cannot be had is as bad as
/// one that failed, and keeps the others from nothing.
fn on(kernels: &[Series], everything: bool) -> Result<()> {
    let (tools, suites, missing) = prepare(kernels, everything)?;
    let scratch = Scratch::new(&folder())?;
    let payload = Payload::gather(&tools.shell, &suites, scratch.path())?;
    let guests = Guests {
        tools: &tools,
        suites: &suites,
        payload: &payload,
        scratch: scratch.path(),
        everything,
    };
    let mut reports = guests.run()?;
    reports.extend(missing);
    reports.sort_by_key(|report| report.series);
    println!("\n{}", table::of(&reports));
    println!("logs and probes: {}/KERNEL/", folder().display());
    let unhappy: Vec<String> = reports
        .iter()
        .filter(|report| !report.is_well())
        .map(|report| report.series.to_string())
        .collect();
    if unhappy.is_empty() {
        return Ok(());
    }
    bail!(
        "nothing shows that the gateway keeps its promises on: {}; why is said above",
        unhappy.join(", ")
    )
}

/// Boots the first kernel with a prompt on this terminal.
fn prompt(kernels: &[Series]) -> Result<()> {
    ensure!(
        std::io::IsTerminal::is_terminal(&std::io::stdin()),
        "--shell wants a terminal; without one, run the tests and read target/vm/KERNEL/"
    );
    let (tools, suites, _told_already) = prepare(&kernels[..1], true)?;
    let scratch = Scratch::new(&folder())?;
    let payload = Payload::gather(&tools.shell, &suites, scratch.path())?;
    let guests = Guests {
        tools: &tools,
        suites: &suites,
        payload: &payload,
        scratch: scratch.path(),
        everything: true,
    };
    guests.prompt()
}

/// Builds and fetches what the guests are made of; with a report of each kernel that cannot be had.
fn prepare(kernels: &[Series], everything: bool) -> Result<(Tools, Suites, Vec<Report>)> {
    let arch = std::env::consts::ARCH;
    ensure!(
        arch == "x86_64",
        "the guests run this machine's programs on x86-64 kernels, and this machine is {arch}"
    );
    setup::ensure(&[Need::Namespaces, Need::Traffic])?;
    let suites = Suites::build(&selection::targets(kernels, everything))?;
    let store = Store::open(folder().join("cache"))?;
    let (emulator, shell) = (fetch::emulator(&store)?, fetch::shell(&store)?);
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for &series in kernels {
        match fetch::kernel(&store, series) {
            Ok(kernel) => found.push(kernel),
            Err(error) => {
                say(&format!("{error:#}"));
                missing.push(Report::missing(series, &error));
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "there is no kernel to boot; why is said above"
    );
    let tools = Tools {
        _store: store,
        emulator,
        shell,
        kernels: found,
    };
    Ok((tools, suites, missing))
}

/// Where everything of this command lies.
pub(crate) fn folder() -> std::path::PathBuf {
    workspace::target().join("vm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_those_asked_for_or_the_usual_or_all() {
        assert_eq!(chosen(Vec::new(), false), Series::USUAL);
        assert_eq!(chosen(Vec::new(), true), Series::ALL);
        let asked = vec![Series::V7, Series::V5_10, Series::V7];
        assert_eq!(chosen(asked, true), [Series::V5_10, Series::V7]);
    }

    #[test]
    fn an_unknown_kernel_is_refused_with_those_there_are() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let refused = <Line as clap::Parser>::try_parse_from(["vm", "6.6"]).err();
        let words = refused.map_or_else(String::new, |error| error.to_string());
        assert!(
            words.contains("6.6") && words.contains("5.10, 6.1, 6.12, 6.18, 7"),
            "{words}"
        );
        assert!(
            <Line as clap::Parser>::try_parse_from(["vm", "6.1", "7"]).is_ok_and(|line| line
                .args
                .kernels
                .len()
                == 2)
        );
    }
}
