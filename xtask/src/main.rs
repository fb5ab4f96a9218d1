//! `cargo xtask`: the project's own commands; this file only names them.

mod bench;
mod build;
mod build_ebpf;
mod check;
mod ci;
mod cmd;
mod deny;
mod lab;
mod median;
mod profile;
mod run;
mod setup;
mod steps;
mod test;
mod tidy;
mod vagrant;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands. Each one sets up what it needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measure: every plane beside no proxy and what others built, over distances, at scale.
    Bench(Box<bench::BenchArgs>),
    /// Build the eBPF objects into target/bpf/, then `s2cs` in release.
    Build(build::Args),
    /// Everything that can be said without running the code: format, tidy, clippy, rustdoc.
    Check,
    /// What decides whether a commit is good: check, build and test, with a time per step.
    Ci(ci::Args),
    /// Licences, duplicates and sources of all dependencies (builds cargo-deny the first time).
    Deny,
    /// Look at the lab itself: what its emulated line carries, whether its generator can be believed.
    Lab(lab::Args),
    /// Draw where the CPU goes in one row of the bench, as a flame graph.
    Profile(profile::Args),
    /// Stream a real iperf3 through the gateway on each plane, or run `s2cs` with ARGS.
    Run(run::RunArgs),
    /// Install what the other commands need: the BPF toolchain and Debian's programs.
    Setup(setup::Args),
    /// Every test that this machine can run, kernel tests too as root.
    Test(test::Args),
    /// The house rules that neither the compiler nor clippy can hold.
    Tidy,
    /// Try the four hosts of vagrant/ without virtual machines.
    Vagrant(vagrant::Args),
    /// Run the kernel tests on other kernels, in emulated machines.
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Bench(args) => bench::run(*args),
        Task::Build(args) => build::main(args),
        Task::Check => check::main(),
        Task::Ci(args) => ci::main(args),
        Task::Deny => deny::main(),
        Task::Lab(args) => lab::main(args),
        Task::Profile(args) => profile::main(args),
        Task::Run(args) => run::run(args),
        Task::Setup(args) => setup::main(args),
        Task::Test(args) => test::main(args),
        Task::Tidy => tidy::main(),
        Task::Vagrant(args) => vagrant::main(args),
        Task::Vm(args) => vm::main(args),
    };
    if let Err(error) = result {
        // The chain in one line: where it failed is in the words, so no backtrace is printed.
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
