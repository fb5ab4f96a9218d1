//! `cargo xtask ci`: what decides whether a commit is good; `.ci/run` calls this and nothing else.

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup::{self, Need};
use crate::steps::Steps;
use crate::{build, build_ebpf, check, cmd, deny, test, vagrant, vm, workspace};

/// Arguments of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What takes too long for every commit, too: all kernels with all cases, vagrant/
    #[arg(long)]
    all: bool,
}

/// Entry point of `cargo xtask ci`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { all: everything } = args;
    let before = changes()?;
    let mut steps = Steps::default();
    check::quick(&mut steps);
    let all = [Need::Bpf, Need::Namespaces, Need::Rivals, Need::Traffic];
    let built = steps.run("setup", || setup::ensure(&all))
        && steps.run("build, eBPF", build_ebpf::build)
        && steps.run("build, release", build::daemon);
    check::compiled(&mut steps);
    if built {
        test::all(&mut steps, &[], true);
        steps.run("tests, other kernels", || vm::ci(everything));
        if everything {
            steps.run("vagrant validate", vagrant::validate);
            steps.run("vagrant scenarios", vagrant::scenarios);
        }
    } else {
        steps.not_run("tests", "there is nothing to test");
    }
    steps.run("dependencies", deny::main);
    steps.run("tree unchanged", || unchanged(&before));
    steps.finish()
}

/// What differs from the last commit.
fn changes() -> Result<String> {
    cmd::output(
        Command::new("git")
            .current_dir(workspace::root())
            .args(["status", "--porcelain"]),
    )
}

/// Building and testing must leave the tree as committed: no stale lock file, no generated file
/// that differs from what is generated.
fn unchanged(before: &str) -> Result<()> {
    let after = changes()?;
    if after != before {
        bail!("the run changed files; commit what it made of them:\n{after}");
    }
    Ok(())
}
