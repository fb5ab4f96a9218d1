//! `cargo xtask build`: the eBPF objects, then the daemon that embeds them.

use anyhow::Result;

use crate::{build_ebpf, cmd};

/// Arguments of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the eBPF objects
    #[arg(long)]
    ebpf_only: bool,
}

/// Entry point of `cargo xtask build`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { ebpf_only } = args;
    build_ebpf::build()?;
    if ebpf_only {
        return Ok(());
    }
    daemon()
}

/// Builds `s2cs` in release around the objects that are in target/bpf/.
pub(crate) fn daemon() -> Result<()> {
    cmd::run(cmd::cargo().args(["build", "--release", "--package", "scistream-daemon"]))
}

/// Builds the caller of `bench control` and `bench caps` in release. Apart from the daemon: with what
/// examples need besides, the daemon would be another one.
pub(crate) fn caller() -> Result<()> {
    let example = ["--package", "scistream-daemon", "--example", "control_load"];
    cmd::run(cmd::cargo().args(["build", "--release"]).args(example))
}

/// Builds the traffic generator in release.
pub(crate) fn traffic() -> Result<()> {
    let binary = ["--package", "bpf-tests", "--bin", "traffic"];
    cmd::run(cmd::cargo().args(["build", "--release"]).args(binary))
}
