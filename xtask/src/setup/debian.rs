//! Debian's compiler for BPF, unpacked into the toolchain folder: no root, nothing on the system
//! changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use super::compiler::{Core, Version};
use super::say;
use crate::cmd;

/// The compiler, its linter, and `core` for BPF ready built.
const WITH_PREBUILT_CORE: [&str; 3] = ["rustc-web", "rust-web-clippy", "libstd-rust-web-dev-bpf"];
/// The same where that package does not exist.
const WITH_SOURCE: [&str; 3] = ["rustc-web", "rust-web-clippy", "rust-web-src"];
/// Packages that every machine that builds Rust has in some form, and that must not be unpacked
/// beside the system's own.
const LEFT_TO_THE_SYSTEM: [&str; 2] = ["gcc", "binutils"];

/// The root the packages are unpacked into.
pub(super) fn sysroot(dir: &Path) -> PathBuf {
    dir.join("debian")
}

/// The compiler below an unpacked root.
pub(crate) fn rustc(sysroot: &Path) -> PathBuf {
    sysroot.join("usr/bin/rustc")
}

/// The documentation tool below an unpacked root.
pub(crate) fn rustdoc(sysroot: &Path) -> PathBuf {
    sysroot.join("usr/bin/rustdoc")
}

/// The folder of the compiler's own libraries below an unpacked root.
pub(crate) fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH))
}

/// Fetches and unpacks the packages; the error says in one sentence why this cannot be done here.
pub(super) fn install(dir: &Path) -> Result<(Core, Version)> {
    // Names and versions move: they are looked up at run time, and again in fresh lists when what
    // the old ones name is gone.
    let (core, debs) = match fetch(&Apt::new(dir)?, dir) {
        Ok(fetched) => fetched,
        Err(_) => fetch(&Apt::refreshed(dir)?, dir)?,
    };
    unpack(dir, &debs)?;
    let version = ask_version(&sysroot(dir))?;
    Ok((core, version))
}

fn fetch(apt: &Apt, dir: &Path) -> Result<(Core, Vec<PathBuf>)> {
    let (core, wanted) = if apt.candidate(WITH_PREBUILT_CORE[2])?.is_some() {
        (Core::Prebuilt, WITH_PREBUILT_CORE)
    } else {
        (Core::Source, WITH_SOURCE)
    };
    for name in wanted {
        if apt.candidate(name)?.is_none() {
            bail!("the package lists of this system have no {name}");
        }
    }
    let packages = closure(apt, &wanted)?;
    say(&format!("downloading {}", packages.join(", ")));
    let debs = dir.join("debs");
    remake(&debs)?;
    apt.download(&packages, &debs)?;
    let files = fs::read_dir(&debs)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    Ok((core, files))
}

/// `wanted` and all they depend on that this system does not have.
pub(super) fn closure(apt: &Apt, wanted: &[&str]) -> Result<Vec<String>> {
    let mut found: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
    let mut next = 0;
    while let Some(name) = found.get(next).cloned() {
        next += 1;
        for dependency in apt.dependencies(&name)? {
            let left = LEFT_TO_THE_SYSTEM.contains(&dependency.as_str());
            if !left && !found.contains(&dependency) && !apt.is_installed(&dependency) {
                found.push(dependency);
            }
        }
    }
    Ok(found)
}

fn unpack(dir: &Path, debs: &[PathBuf]) -> Result<()> {
    // Unpacked beside and moved into place at the end: a folder of that name is always whole.
    let partial = dir.join("debian.partial");
    remake(&partial)?;
    for (index, deb) in debs.iter().enumerate() {
        let name = deb.file_name().unwrap_or_default().to_string_lossy();
        say(&format!(
            "unpacking {} of {}: {name}",
            index + 1,
            debs.len()
        ));
        cmd::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&partial))?;
    }
    let sysroot = sysroot(dir);
    remove(&sysroot)?;
    fs::rename(&partial, &sysroot)
        .with_context(|| format!("{} cannot be renamed", partial.display()))?;
    remove(&dir.join("debs"))
}

fn ask_version(sysroot: &Path) -> Result<Version> {
    let mut command = Command::new(rustc(sysroot));
    command
        .arg("-vV")
        .env("LD_LIBRARY_PATH", libraries(sysroot));
    let answer = cmd::output(&mut command).context("the unpacked compiler does not start")?;
    let version = Version::parse(&answer)?;
    version.check()?;
    Ok(version)
}

/// Makes an empty folder.
pub(super) fn remake(dir: &Path) -> Result<()> {
    remove(dir)?;
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))
}

/// Removes a folder and all in it, if it is there.
pub(super) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("{} cannot be removed", dir.display()))?;
    }
    Ok(())
}
