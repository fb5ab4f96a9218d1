//! `cargo xtask test`: every test that this machine can run.
//!
//! The tests of the default members run everywhere. Those of bpf-tests load programs and make
//! namespaces; where that is not possible the run says so at the end, and fails if the privileges
//! were promised.

use std::env;

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

/// Entry point of `cargo xtask test`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { arguments } = args;
    let promised = env::var_os(REQUIRE_VARIABLE).is_some_and(|names| !names.is_empty());
    let mut steps = Steps::default();
    if steps.run("build", built) {
        user_space(&mut steps, &arguments);
        kernel(&mut steps, &arguments, promised);
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

/// The tests that need nothing but Linux.
pub(crate) fn user_space(steps: &mut Steps, arguments: &[String]) {
    steps.run("tests", || {
        cmd::run(cargo_test(&["--no-fail-fast"], arguments).env_remove(REQUIRE_VARIABLE))
    });
}

/// The tests that need a kernel and root. Where these are missing this is a failed step if they
/// were `promised`, and none otherwise.
pub(crate) fn kernel(steps: &mut Steps, arguments: &[String], promised: bool) {
    const NAME: &str = "tests, kernel";
    if let Err(reason) = kernel_privileges() {
        if promised {
            steps.not_run(NAME, reason);
        }
        return;
    }
    steps.run(NAME, || {
        setup::ensure(&[Need::Namespaces, Need::Rivals, Need::Traffic])?;
        let mut command = cargo_test(&["--no-fail-fast", "--package", "bpf-tests"], arguments);
        cmd::run(command.env(REQUIRE_VARIABLE, KERNEL))
    });
}

/// Whether this process may do what kernel tests do, or in one sentence why not.
fn kernel_privileges() -> Result<(), String> {
    Capability::Bpf.check()?;
    Capability::Netns.check()
}

fn cargo_test(options: &[&str], arguments: &[String]) -> std::process::Command {
    let mut command = cmd::cargo();
    command.arg("test").args(options).arg("--").args(arguments);
    // The daemon under test is the one that is shipped, not another build of it.
    command.env(BINARY_VARIABLE, workspace::target().join("release/s2cs"));
    command
}
