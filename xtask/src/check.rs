//! `cargo xtask check`: what can be said about the tree without running it.

use anyhow::Result;

use crate::steps::Steps;
use crate::{build_ebpf, cmd, tidy};

/// Entry point of `cargo xtask check`.
pub(crate) fn main() -> Result<()> {
    let mut steps = Steps::default();
    quick(&mut steps);
    compiled(&mut steps);
    steps.finish()
}

/// The steps that compile nothing.
pub(crate) fn quick(steps: &mut Steps) {
    steps.run("format", || {
        cmd::run(cmd::cargo().args(["fmt", "--all", "--check"]))
    });
    steps.run("tidy", tidy::main);
}

/// The steps that need the types.
pub(crate) fn compiled(steps: &mut Steps) {
    steps.run("clippy", clippy);
    steps.run("clippy, eBPF", || {
        if let Some(reason) = build_ebpf::lint()? {
            eprintln!("the eBPF programs are not linted for their own target: {reason}");
        }
        Ok(())
    });
    steps.run("rustdoc", rustdoc);
    steps.run("rustdoc, eBPF", build_ebpf::document);
}

fn clippy() -> Result<()> {
    // The programs have no panic handler for the host: they are linted for their own target.
    let members = [
        "--workspace",
        "--exclude",
        "scistream-ebpf",
        "--all-targets",
    ];
    let mut command = cmd::cargo();
    cmd::run(
        command
            .arg("clippy")
            .args(members)
            .args(["--", "-D", "warnings"]),
    )
}

fn rustdoc() -> Result<()> {
    let members = ["--workspace", "--exclude", "scistream-ebpf"];
    let mut command = cmd::cargo();
    command.arg("doc").args(members);
    command.args(["--no-deps", "--document-private-items"]);
    cmd::run(command.env("RUSTDOCFLAGS", "-D warnings"))
}
