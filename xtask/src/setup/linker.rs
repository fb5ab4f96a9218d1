//! bpf-linker: built from crates.io into the private toolchain folder.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::say;
use crate::cmd;

/// The version that is built: it speaks LLVM 22, that of the workspace's own compiler.
pub(super) const VERSION: &str = "0.10.0";

/// The newest LLVM whose bitcode this bpf-linker reads.
pub(super) const LLVM_MAJOR: u32 = 22;

/// Where the program lies in the toolchain folder.
pub(super) fn program(dir: &Path) -> PathBuf {
    root(dir).join("bin/bpf-linker")
}

/// Builds bpf-linker unless it is there.
pub(super) fn install(dir: &Path) -> Result<()> {
    if program(dir).is_file() {
        return Ok(());
    }
    say(&format!(
        "building bpf-linker {VERSION} (one to two minutes on two cores)"
    ));
    let mut command = cmd::cargo();
    command
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--no-track",
            "--root",
        ])
        .arg(root(dir))
        // It links three small programs per build of ours: compiling it fast matters more.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env_remove("CARGO_TARGET_DIR")
        // Else cargo advises to add the folder to the path.
        .env("PATH", path_with(&root(dir).join("bin")));
    cmd::run(&mut command).with_context(|| {
        format!(
            "bpf-linker {VERSION} could not be built: this needs crates.io (or a mirror named in \
             cargo's configuration) and a C compiler"
        )
    })
}

/// A folder per version, so that a newer one is built beside the old.
fn root(dir: &Path) -> PathBuf {
    dir.join(format!("bpf-linker-{VERSION}"))
}

fn path_with(dir: &Path) -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(dir);
    path
}
