//! The compiler for the BPF target: which one this machine can offer.
//!
//! rustup ships no `core` for BPF, so it must be one whose library source is there, or Debian's
//! own compiler, which brings `core` for BPF ready built. Each candidate that does not fit is
//! remembered with the reason, and the reasons are the error when none does.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{debian, linker, say};
use crate::cmd;

/// A compiler that can make BPF code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Compiler {
    /// Debian's packages, unpacked into the toolchain folder.
    Debian {
        /// Where its `core` for BPF comes from.
        core: Core,
    },
    /// One of rustup's, with the rust-src component.
    Rustup {
        /// Its name, as in `rustup run NAME`.
        toolchain: String,
    },
}

/// Where `core` for the BPF target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Core {
    /// A package has it ready built.
    Prebuilt,
    /// It is built from source along with the programs.
    Source,
}

/// What `rustc -vV` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// Such as `1.96.0`.
    release: String,
    /// Such as `22`.
    llvm_major: u32,
}

impl Compiler {
    /// Whether what was chosen earlier still is there; cheap enough for every command.
    pub(super) fn is_there(&self, dir: &Path) -> bool {
        match self {
            Self::Debian { core: _ } => debian::rustc(&debian::sysroot(dir)).is_file(),
            Self::Rustup { toolchain } => rustup_version(toolchain).is_ok(),
        }
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian {
                core: Core::Prebuilt,
            } => f.write_str("Debian's rustc"),
            Self::Debian { core: Core::Source } => f.write_str("Debian's rustc and library source"),
            Self::Rustup { toolchain } => write!(f, "rustup's {toolchain}"),
        }
    }
}

impl Version {
    /// Reads the answer of `rustc -vV`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
        let (Some(release), Some(llvm)) = (field("release: "), field("LLVM version: ")) else {
            bail!("rustc names no release and LLVM version");
        };
        let llvm_major = llvm.split('.').next().and_then(|major| major.parse().ok());
        Ok(Self {
            release: release.to_owned(),
            llvm_major: llvm_major.ok_or_else(|| anyhow!("rustc's LLVM version is {llvm}"))?,
        })
    }

    /// Says why this compiler cannot be used, if so.
    pub(super) fn check(&self) -> Result<()> {
        let wanted = env!("CARGO_PKG_RUST_VERSION");
        if minor(&self.release) < minor(wanted) {
            bail!("Rust {} is older than {wanted}", self.release);
        }
        if self.llvm_major > linker::LLVM_MAJOR {
            bail!(
                "Rust {} has LLVM {}, newer than the LLVM {} of bpf-linker {}",
                self.release,
                self.llvm_major,
                linker::LLVM_MAJOR,
                linker::VERSION
            );
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (LLVM {})", self.release, self.llvm_major)
    }
}

/// Picks the compiler: one of rustup's that is complete, else Debian's, else whatever rustup can
/// still download.
pub(super) fn choose(dir: &Path) -> Result<(Compiler, Version)> {
    let mut incomplete = Vec::new();
    for toolchain in rustup_toolchains() {
        match rustup_version(&toolchain) {
            Ok(version) => {
                say(&format!("BPF compiler: rustup's {toolchain}, {version}"));
                return Ok((Compiler::Rustup { toolchain }, version));
            }
            Err(reason) => incomplete.push((toolchain, format!("{reason:#}"))),
        }
    }
    let mut declined = by_reason(&incomplete);
    match debian::install(dir) {
        Ok((core, version)) => {
            say(&format!("BPF compiler: Debian's, {version}"));
            return Ok((Compiler::Debian { core }, version));
        }
        Err(reason) => declined.push(format!("{reason:#}")),
    }
    match rustup_component() {
        Ok(found) => Ok(found),
        Err(reason) => {
            declined.push(format!("{reason:#}"));
            Err(nothing_fits(&declined))
        }
    }
}

/// One sentence per reason: most toolchains lack the same.
fn by_reason(incomplete: &[(String, String)]) -> Vec<String> {
    let mut reasons: Vec<&str> = incomplete
        .iter()
        .map(|(_, reason)| reason.as_str())
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let names = |reason: &str| {
        let sharing = incomplete.iter().filter(|(_, other)| other == reason);
        sharing
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    reasons
        .iter()
        .map(|reason| format!("rustup's {}: {reason}", names(reason)))
        .collect()
}

fn nothing_fits(declined: &[String]) -> anyhow::Error {
    anyhow!(
        "no compiler for the BPF target ({}): either run `rustup component add rust-src --toolchain \
         {}` where rustup can download, or, on Debian 12 or later, let apt reach Debian's main and \
         security suites (`apt-get update`), then run `cargo xtask setup` again",
        declined.join("; "),
        pinned()
    )
}

/// The workspace's own toolchain, as rustup named it to us.
fn pinned() -> String {
    std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "nightly".to_owned())
}

/// rustup's toolchains, the workspace's own first, then the nightlies, newest last.
fn rustup_toolchains() -> Vec<String> {
    let Ok(list) = cmd::output(Command::new("rustup").args(["toolchain", "list"])) else {
        return Vec::new();
    };
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    let pinned = pinned();
    names.sort_by_key(|name| (!name.starts_with(&pinned), !name.starts_with("nightly")));
    names
}

/// The version of a complete toolchain, or what it lacks.
fn rustup_version(toolchain: &str) -> Result<Version> {
    let rustc = |argument: &[&str]| {
        cmd::output(
            Command::new("rustup")
                .args(["run", toolchain, "rustc"])
                .args(argument),
        )
    };
    let sysroot = rustc(&["--print", "sysroot"])?;
    if !Path::new(sysroot.trim())
        .join("lib/rustlib/src/rust/library/core")
        .is_dir()
    {
        bail!("no rust-src component");
    }
    let version = Version::parse(&rustc(&["-vV"])?)?;
    version.check()?;
    Ok(version)
}

/// Lets rustup download the library source for the workspace's own toolchain.
fn rustup_component() -> Result<(Compiler, Version)> {
    let toolchain = pinned();
    say(&format!(
        "asking rustup for the rust-src component of {toolchain}"
    ));
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src", "--toolchain", &toolchain]);
    cmd::output_or("rustup cannot download it either", &mut rustup)?;
    let version = rustup_version(&toolchain)?;
    Ok((Compiler::Rustup { toolchain }, version))
}

/// The second number of `1.96.0`, `1.95` or `1.97.0-nightly`.
fn minor(release: &str) -> Option<u32> {
    release.split('.').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(release: &str, llvm_major: u32) -> Version {
        Version {
            release: release.to_owned(),
            llvm_major,
        }
    }

    #[test]
    fn the_answer_of_rustc_is_read() {
        let text = "rustc 1.97.0-nightly (x)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(Version::parse(text).unwrap(), version("1.97.0-nightly", 22));
    }

    #[test]
    fn an_answer_without_llvm_is_refused() {
        assert!(Version::parse("rustc 1.97.0\nrelease: 1.97.0\n").is_err());
    }

    #[test]
    fn a_compiler_older_than_the_workspace_asks_for_is_refused() {
        let error = version("1.85.0", 19).check().unwrap_err().to_string();
        assert!(error.contains("1.85.0 is older than 1.95"), "{error}");
    }

    #[test]
    fn an_llvm_newer_than_the_linkers_is_refused_with_both_numbers() {
        let error = version("1.99.0", 23).check().unwrap_err().to_string();
        assert!(error.contains("LLVM 23, newer than the LLVM 22"), "{error}");
    }

    #[test]
    fn toolchains_that_lack_the_same_are_told_together() {
        let incomplete = [("a", "no source"), ("b", "no source"), ("c", "too old")]
            .map(|(name, reason)| (name.to_owned(), reason.to_owned()));
        let told = by_reason(&incomplete);
        assert_eq!(told, ["rustup's a, b: no source", "rustup's c: too old"]);
    }

    #[test]
    fn the_error_names_every_reason_and_both_ways_out() {
        let error = nothing_fits(&[
            "rustup's x: a".to_owned(),
            "Debian's packages: b".to_owned(),
        ]);
        let text = error.to_string();
        for wanted in [
            "rustup's x: a",
            "Debian's packages: b",
            "rustup component add",
            "apt-get",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
