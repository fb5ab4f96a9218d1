//! `cargo xtask`: the project's own commands; this file only names them.

mod bench;
mod build;
mod build_ebpf;
mod cmd;
mod run;
mod setup;
mod workspace;

use anyhow::Result;
use clap::Parser;

/// The project's own commands. Each one sets up what it needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Install what the other commands need: the BPF toolchain and Debian's programs.
    Setup(setup::Args),
    /// Build the eBPF objects into target/bpf/, then `s2cs` in release.
    Build(build::Args),
    /// Stream a real iperf3 through the gateway on each plane, or run `s2cs` with ARGS.
    Run(run::RunArgs),
    /// Compare every plane with no proxy, haproxy, nginx and socat, side by side.
    Bench(bench::BenchArgs),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Setup(args) => setup::main(args),
        Task::Build(args) => build::main(args),
        Task::Run(args) => run::run(args),
        Task::Bench(args) => bench::run(args),
    }
}
