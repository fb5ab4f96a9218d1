//! `cargo xtask lab`: whether the instruments can be believed, before anything is measured with them.
//!
//! ```text
//!   lab wan        what the emulated line carries: round trip, throughput, drops, its own CPU
//!   lab validate   the generator beside iperf3 and sockperf, on the same path
//! ```
//!
//! Both are measurements of this machine: run them when it is idle.

mod row;
mod validate;
mod wan;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use bpf_tests::generator::find_traffic;

use crate::setup::Need;
use crate::{build, setup, workspace};

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What the emulated line carries at 1, 24, 58 and 144 ms; fails below 8 Gb/s
    Wan(wan::Args),
    /// The generator beside iperf3 and sockperf; fails when they differ by more than 5 %
    Validate(validate::Args),
}

/// Entry point of `cargo xtask lab`.
pub(crate) fn main(args: Args) -> Result<()> {
    ensure!(
        workspace::is_root(),
        "the lab makes network namespaces and TUN devices: run it as root"
    );
    setup::ensure(&[Need::Namespaces, Need::Traffic])?;
    match args.what {
        What::Wan(args) => wan::run(&args),
        What::Validate(args) => validate::run(&args),
    }
}

/// The generator, built in release: what it costs would be measured, too.
fn traffic() -> Result<PathBuf> {
    build::traffic()?;
    find_traffic("release")
}
