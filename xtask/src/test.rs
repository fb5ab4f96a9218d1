//! `cargo xtask test`: every test that this machine can run.
//!
//! The tests of the default members run everywhere. Those of bpf-tests load programs and make
//! namespaces; where that is not possible the run says so at the end, and fails if the privileges
//! were promised.

use std::env;
use std::process::Command;

use anyhow::Result;
use bpf_tests::capability::{Capability, REQUIRE_VARIABLE};
use bpf_tests::gateway::BINARY_VARIABLE;

use crate::setup::{self, Need};
use crate::steps::Steps;
use crate::{build, build_ebpf, cmd, workspace};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to the test programs: a name to look for, --nocapture, …
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// What kernel tests need, as `SCISTREAM_REQUIRE` names it: a test that lacks one of these fails
/// instead of saying that it could not run.
const KERNEL: &str = "bpf,netns";

/// How many of the long cases run side by side: all of them.
const LONG_AT_ONCE: &str = "12";

/// The targets that run the gateway beside real parts, and all of it as `cargo xtask run` does.
const REAL: [&str; 5] = [
    "real_applications",
    "real_issuer",
    "real_peers",
    "real_sessions",
    "run",
];

/// Entry point of `cargo xtask test`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { arguments } = args;
    let promised = env::var_os(REQUIRE_VARIABLE).is_some_and(|names| !names.is_empty());
    let mut steps = Steps::default();
    if steps.run("build", built) {
        all(&mut steps, &arguments, promised);
    }
    steps.finish()?;
    if let Err(reason) = kernel_privileges() {
        eprintln!("NOT RUN: the kernel tests (bpf-tests), because {reason}");
    }
    Ok(())
}

/// Builds the eBPF objects and the `s2cs` that tests start.
fn built() -> Result<()> {
    build_ebpf::build()?;
    build::daemon()
}

/// Runs all tests that this process may run. That it may not run the kernel tests is a failed
/// step if the privileges were `promised`, and none otherwise.
pub(crate) fn all(steps: &mut Steps, arguments: &[String], promised: bool) {
    let privileges = kernel_privileges();
    let kernel = privileges.is_ok();
    let programs = [Need::Namespaces, Need::Real, Need::Rivals, Need::Traffic];
    let ready = !kernel || steps.run("programs of tests", || setup::ensure(&programs));
    if ready
        && steps.run("build, tests", || {
            cmd::run(cargo_test(kernel).arg("--no-run"))
        })
    {
        steps.run("tests", || {
            let mut command = cargo_test(kernel);
            cmd::run(command.arg("--no-fail-fast").arg("--").args(arguments))
        });
        if kernel && arguments.is_empty() {
            steps.run("tests, long", long);
            steps.run("tests, real parts", real);
        }
    }
    if let Some(reason) = privileges.err().filter(|_| promised) {
        steps.not_run("tests, kernel", reason);
    }
}

/// The cases that mostly wait: half a minute of shut window, two gibibytes, on every plane. Their
/// target is left out of plain `cargo test`; side by side they take a minute.
fn long() -> Result<()> {
    let mut command = cargo_test(true);
    cmd::run(command.args([
        "--test",
        "contract_big",
        "--",
        "--test-threads",
        LONG_AT_ONCE,
    ]))
}

/// The gateway beside programs and libraries that others wrote. One after the other: some are loads
/// that would slow each other down.
fn real() -> Result<()> {
    let mut command = cargo_test(true);
    for target in REAL {
        command.args(["--test", target]);
    }
    cmd::run(command.args(["--no-fail-fast", "--", "--test-threads", "1"]))
}

/// Whether this process may do what kernel tests do, or in one sentence why not.
fn kernel_privileges() -> Result<(), String> {
    Capability::Bpf.check()?;
    Capability::Netns.check()
}

/// `cargo test` for the workspace. One call for all packages: cargo would otherwise choose other
/// features for what they share, and build it again.
pub(crate) fn cargo_test(kernel: bool) -> Command {
    let mut command = cmd::cargo();
    command.args(["test", "--workspace", "--exclude", "scistream-ebpf"]);
    if kernel {
        command.env(REQUIRE_VARIABLE, KERNEL);
    } else {
        command
            .args(["--exclude", "bpf-tests"])
            .env_remove(REQUIRE_VARIABLE);
    }
    // The daemon under test is the one that is shipped, not another build of it.
    command.env(BINARY_VARIABLE, workspace::target().join("release/s2cs"));
    command
}
