//! `cargo xtask deny`: licences, duplicates and sources of all dependencies, by cargo-deny.
//!
//! It is built without optimisation: it works for a second and is built for minutes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cmd, workspace};

/// The version that is built where none is installed.
const VERSION: &str = "0.20.2";

/// Entry point of `cargo xtask deny`.
pub(crate) fn main() -> Result<()> {
    let program = match cmd::find("cargo-deny") {
        Some(program) => program,
        None => install()?,
    };
    // cargo-deny looks into the manifests of all packages, so they must be there.
    cmd::run(cmd::cargo().args(["fetch", "--locked"]))?;
    let mut deny = Command::new(program);
    deny.current_dir(workspace::root());
    // The advisories are left out: their database is fetched from a git host.
    cmd::run(deny.args([
        "--offline",
        "--all-features",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn install() -> Result<PathBuf> {
    let root = workspace::toolchain().join(format!("cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    eprintln!("building cargo-deny {VERSION}, which takes one to two minutes on two cores");
    let mut command = cmd::cargo();
    command
        .args([
            "install",
            "cargo-deny",
            "--version",
            VERSION,
            "--locked",
            "--no-track",
        ])
        .args(["--no-default-features", "--root"])
        .arg(&root)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env_remove("CARGO_TARGET_DIR");
    cmd::run(&mut command).with_context(|| {
        format!("cargo-deny {VERSION} could not be built: this needs crates.io")
    })?;
    Ok(program)
}
