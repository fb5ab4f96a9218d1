//! What a virtual machine is made of, from Debian's packages: the emulator, a shell, the kernels.
//!
//! Nothing is installed: packages are downloaded and unpacked into the store. (Installing QEMU
//! would remove other programs of the system.) Names and versions move, so they are looked up
//! when they are wanted; a list that names what is gone is fetched anew. Without a network, what
//! was fetched earlier serves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use bpf_tests::sys;

use super::series::Series;
use super::store::{Store, make, remove};
use crate::cmd;
use crate::setup::Apt;

/// Debian's package of the emulator, and its program.
const EMULATOR: (&str, &str) = ("qemu-system-x86", "qemu-system-x86_64");

/// Debian's package of a shell and the small programs around it, in one file without libraries.
const SHELL: (&str, &str) = ("busybox-static", "bin/busybox");

/// The emulator.
pub(super) struct Emulator {
    pub(super) program: PathBuf,
    /// Where its packages were unpacked; `None` when it is the system's own.
    pub(super) root: Option<PathBuf>,
}

/// A kernel with its modules.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub(super) series: Series,
    /// The release, as `uname -r` tells it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// The folder of its modules.
    pub(super) modules: PathBuf,
}

/// Debian's packages for other commands, unpacked and not installed.
pub(crate) struct Packages(Store);

impl Packages {
    /// Keeps them in `folder`.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        Store::open(folder.to_owned()).map(Self)
    }

    /// A folder with these packages and whatever of their dependencies this system lacks, laid out
    /// as below `/`; `lib` and its like are below `usr`, as on every system since Debian 12.
    pub(crate) fn unpacked(&self, packages: &[&str]) -> Result<PathBuf> {
        let (first, _) = packages.split_first().context("no package was named")?;
        let root = package_of_system(&self.0, first, |apt, into| {
            apt.download_closure(packages, into)
        })?;
        for folder in ["bin", "lib", "lib64", "sbin"] {
            let apart = root.join(folder);
            if apart.is_dir() {
                let mut copy = Command::new("cp");
                copy.arg("-a")
                    .arg(apart.join("."))
                    .arg(root.join("usr").join(folder));
                cmd::output(&mut copy)?;
                remove(&apart)?;
            }
        }
        Ok(root)
    }
}

/// The emulator: the system's own, or else Debian's, unpacked into the store.
pub(super) fn emulator(store: &Store) -> Result<Emulator> {
    let (package, program) = EMULATOR;
    if let Some(program) = cmd::find(program) {
        return Ok(Emulator {
            program,
            root: None,
        });
    }
    let root = package_of_system(store, package, |apt, into| {
        apt.download_closure(&[package], into)
    })?;
    Ok(Emulator {
        program: root.join("usr/bin").join(program),
        root: Some(root),
    })
}

/// The shell of the guests, one file.
pub(super) fn shell(store: &Store) -> Result<PathBuf> {
    let (package, program) = SHELL;
    let root = package_of_system(store, package, |apt, into| {
        apt.download(&[package.to_owned()], into)
    })?;
    Ok(root.join(program))
}

/// The newest kernel of a series.
pub(super) fn kernel(store: &Store, series: Series) -> Result<Kernel> {
    kernel_from(store, series, || source(store, series))
}

/// The newest kernel of a series that `source` has; where nothing can be fetched, one that was
/// fetched earlier.
fn kernel_from(
    store: &Store,
    series: Series,
    source: impl FnOnce() -> Result<Apt>,
) -> Result<Kernel> {
    let newest = source().and_then(|apt| newest_kernel(store, series, &apt));
    let root = match newest {
        Ok(root) => root,
        Err(error) => {
            let cached = store.names();
            let Some(name) = series.newest(&cached) else {
                return Err(error.context(format!("there is no {series} kernel to boot")));
            };
            say(&format!("{error:#}; taking {name}, fetched earlier"));
            store.folder().join(name)
        }
    };
    unpacked_kernel(series, &root)
}

/// Who has kernels of this series: this system's release of Debian, or another one.
fn source(store: &Store, series: Series) -> Result<Apt> {
    let system = Apt::new(store.folder())?;
    if series.newest(&system.names(&series.prefix())?).is_some() {
        return Ok(system);
    }
    Apt::of_suite(store.folder(), series.suite())
}

fn newest_kernel(store: &Store, series: Series, apt: &Apt) -> Result<PathBuf> {
    with_fresh_lists(apt, || {
        let names = apt.names(&series.prefix())?;
        let name = series.newest(&names).ok_or_else(|| {
            let suite = series.suite();
            anyhow!("neither this system's package lists nor those of {suite} have a kernel {series} for virtual machines")
        })?;
        let outdated = |old: &str| old.starts_with(&series.prefix());
        store.obtain(name, outdated, |into| {
            say(&format!("fetching {name}"));
            let packages = parts(name, &apt.dependencies(name)?);
            unpacked(into, |debs| apt.download(&packages, debs))?;
            // What is not whole must not be kept under the name of what is.
            unpacked_kernel(series, into).map(drop)
        })
    })
}

/// A kernel's package, and those of its dependencies that hold its image and its modules: newer
/// kernels are split.
fn parts(name: &str, dependencies: &[String]) -> Vec<String> {
    let is_part = |dependency: &&String| {
        ["linux-binary-", "linux-modules-"]
            .iter()
            .any(|prefix| dependency.starts_with(prefix))
    };
    let parts = dependencies.iter().filter(is_part).cloned();
    [name.to_owned()].into_iter().chain(parts).collect()
}

/// A package that this system's own release has, unpacked by `download`, by its version.
fn package_of_system(
    store: &Store,
    package: &str,
    download: impl Fn(&Apt, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let prefix = format!("{package}_");
    let apt = Apt::new(store.folder())?;
    let found = with_fresh_lists(&apt, || {
        let version = apt.candidate(package)?;
        let version = version
            .with_context(|| format!("the package lists of this system have no {package}"))?;
        let name = format!("{prefix}{}", version.replace([':', '/'], "-"));
        let outdated = |old: &str| old.starts_with(&prefix);
        store.obtain(&name, outdated, |into| {
            say(&format!("fetching {package} {version}"));
            unpacked(into, |debs| download(&apt, debs))
        })
    });
    let cached = || {
        store
            .names()
            .into_iter()
            .find(|name| name.starts_with(&prefix))
    };
    match (found, cached()) {
        (Ok(root), _) => Ok(root),
        (Err(error), Some(name)) => {
            say(&format!("{error:#}; taking {name}, fetched earlier"));
            Ok(store.folder().join(name))
        }
        (Err(error), None) => Err(error),
    }
}

/// Tries with the lists that are there, and once more with fresh ones: what old lists name may
/// have vanished from the archive.
fn with_fresh_lists<T>(apt: &Apt, attempt: impl Fn() -> Result<T>) -> Result<T> {
    attempt().or_else(|stale| {
        // Why fresh lists were wanted stays in the error: it may be all that is wrong.
        apt.refresh()
            .map_err(|error| stale.context(format!("{error:#}")))?;
        attempt()
    })
}

/// Unpacks into `into` what `download` leaves in the folder it is handed.
fn unpacked(into: &Path, download: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let debs = into.join("debs");
    make(&debs)?;
    download(&debs)?;
    let entries = fs::read_dir(&debs).with_context(|| format!("cannot read {}", debs.display()))?;
    let files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    for deb in files {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&deb).arg(into);
        sys::die_with_spawner(&mut unpack);
        cmd::output(&mut unpack)?;
    }
    remove(&debs)
}

fn unpacked_kernel(series: Series, root: &Path) -> Result<Kernel> {
    let modules = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder));
    let modules = modules.iter().find_map(|folder| {
        let mut releases = fs::read_dir(folder).ok()?;
        Some(releases.next()?.ok()?.path())
    });
    let modules =
        modules.with_context(|| format!("the kernel in {} has no modules", root.display()))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy();
    // Newer kernels keep the image beside the modules.
    let images = [
        root.join(format!("boot/vmlinuz-{release}")),
        modules.join("vmlinuz"),
    ];
    let image = images.into_iter().find(|image| image.is_file());
    let image =
        image.with_context(|| format!("the kernel in {} has no image to boot", root.display()))?;
    Ok(Kernel {
        series,
        release: release.into_owned(),
        image,
        modules,
    })
}

/// One line of progress.
pub(super) fn say(text: &str) {
    eprintln!("vm: {text}");
}

#[cfg(test)]
mod tests;
