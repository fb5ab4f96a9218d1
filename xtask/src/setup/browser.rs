//! A browser without a window, to look at reports: Debian's `chromium-headless-shell`, unpacked
//! into the toolchain folder with the libraries that this system lacks. Nothing on the system
//! changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::apt::Apt;
use super::{debian, say};
use crate::{cmd, workspace};

/// The package, and what it looks for beside itself: unpacked also where this system has that.
const PACKAGES: [&str; 2] = ["chromium-headless-shell", "chromium-common"];
/// The program, and the last of the data that it does not start without.
const PROGRAM: &str = "usr/lib/chromium/chromium-headless-shell";
const DATA: &str = "usr/lib/chromium/icudtl.dat";

/// An unpacked browser.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    root: PathBuf,
}

/// The browser, unpacked first if it is not there yet.
///
/// Errors when Debian's packages cannot be had.
pub(crate) fn browser() -> Result<Browser> {
    let dir = workspace::toolchain();
    let root = dir.join("browser");
    if ![PROGRAM, DATA].iter().all(|file| root.join(file).is_file()) {
        fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        install(&dir, &root).context(
            "the page cannot be rendered without a browser; it is complete without that",
        )?;
    }
    Ok(Browser { root })
}

impl Browser {
    /// Draws the page `html` into the picture `png`, `size` pixels wide and high.
    ///
    /// Errors when the browser fails or leaves no picture.
    pub(crate) fn draw(&self, html: &Path, png: &Path, size: (u32, u32)) -> Result<()> {
        let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let mut command = Command::new(self.root.join(PROGRAM));
        let libraries = self.root.join(libraries);
        // One of them keeps a library of its own in a folder of its own.
        let folders = [libraries.clone(), libraries.join("pulseaudio")];
        let folders = std::env::join_paths(folders).context("a path with a colon in it")?;
        command.env("LD_LIBRARY_PATH", folders);
        // The sandbox wants a user of its own; the page is ours and loads nothing.
        command.args(["--no-sandbox", "--hide-scrollbars", "--disable-gpu"]);
        command.arg(format!("--window-size={},{}", size.0, size.1));
        command.arg(format!("--screenshot={}", png.display()));
        command.arg(format!("file://{}", html.display()));
        cmd::output_or("the browser cannot draw the page", &mut command)?;
        fs::metadata(png)
            .map(drop)
            .with_context(|| format!("the browser left no {}", png.display()))
    }
}

fn install(dir: &Path, root: &Path) -> Result<()> {
    if fetch(&Apt::new(dir)?, dir, root).is_ok() {
        return Ok(());
    }
    // Versions move: what the old lists name may be gone.
    fetch(&Apt::refreshed(dir)?, dir, root)
}

fn fetch(apt: &Apt, dir: &Path, root: &Path) -> Result<()> {
    let packages = debian::closure(apt, &PACKAGES)?;
    let [shell, _common] = PACKAGES;
    say(&format!(
        "downloading {shell} and {} packages it needs",
        packages.len() - 1
    ));
    let debs = dir.join("browser.debs");
    let partial = dir.join("browser.partial");
    let unpacked = download_and_unpack(apt, &packages, (&debs, &partial));
    debian::remove(&debs)?;
    unpacked?;
    debian::remove(root)?;
    // Unpacked beside and moved into place at the end: a folder of that name is always whole.
    fs::rename(&partial, root).with_context(|| format!("{} cannot be renamed", partial.display()))
}

fn download_and_unpack(
    apt: &Apt,
    packages: &[String],
    (debs, partial): (&Path, &Path),
) -> Result<()> {
    debian::remake(debs)?;
    debian::remake(partial)?;
    apt.download(packages, debs)?;
    let entries = fs::read_dir(debs).with_context(|| format!("cannot list {}", debs.display()))?;
    for entry in entries {
        let deb = entry?.path();
        cmd::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(partial))?;
    }
    Ok(())
}
