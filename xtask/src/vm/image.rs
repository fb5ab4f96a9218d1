//! The initial file system of a guest: a shell, the programs of the lab with their libraries, the
//! kernel's modules, the tests, and the list of what to run.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cpio::Archive;
use super::fetch::Kernel;
use super::modules;
use super::suites::Suites;
use crate::{cmd, workspace};

/// Where the tests and `s2cs` are in a guest.
pub(super) const TESTS: &str = "/t";

/// Programs of this system that the lab runs.
const PROGRAMS: [&str; 5] = ["ethtool", "ip", "iperf3", "ss", "tc"];

/// The first process of a guest.
const FIRST: &str = include_str!("guest.sh");

/// What every guest gets, whatever its kernel.
pub(super) struct Payload {
    /// Path in the guest and bytes.
    files: Vec<(String, Vec<u8>)>,
    shell: PathBuf,
    applets: Vec<String>,
}

/// What one guest is to do.
pub(super) enum Orders {
    /// Run these lines, `NAME COMMAND` each, in this environment.
    Plan { lines: String, environment: String },
    /// A prompt for a person, who finds the same plan.
    Shell { lines: String, environment: String },
}

impl Payload {
    /// Reads programs, libraries and tests. `scratch` is a folder for what is made on the way.
    pub(super) fn gather(shell: &Path, suites: &Suites, scratch: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut libraries = BTreeSet::new();
        let s2cs = workspace::target().join("release/s2cs");
        for (name, path) in suites.programs().chain([("s2cs", &s2cs)]) {
            libraries.extend(libraries_of(path)?);
            files.push((format!("{TESTS}/{name}"), without_debug(path, scratch)?));
        }
        // Where contract_can_fail looks for it: beside itself.
        let naive = workspace::target().join("bpf/naive");
        files.push((format!("{TESTS}/bpf/naive"), read(&naive)?));
        for name in PROGRAMS {
            let path = cmd::find(name).with_context(|| format!("{name} is not installed"))?;
            libraries.extend(libraries_of(&path)?);
            files.push((format!("/sbin/{name}"), read(&path)?));
        }
        for library in libraries {
            files.push((library.display().to_string(), read(&library)?));
        }
        files.push(("/bin/busybox".to_owned(), read(shell)?));
        let applets = cmd::output(Command::new(shell).arg("--list"))?;
        Ok(Self {
            files,
            shell: shell.to_owned(),
            applets: applets.lines().map(str::to_owned).collect(),
        })
    }

    /// Writes the initial file system for one kernel to `path`.
    pub(super) fn write(&self, kernel: &Kernel, orders: &Orders, path: &Path) -> Result<()> {
        let modules = modules::in_order(&kernel.modules, &self.shell)?;
        let archived = File::create(path)
            .and_then(|file| self.archive(&modules, orders, Archive::new(BufWriter::new(file))));
        archived.with_context(|| format!("{} cannot be written", path.display()))
    }

    fn archive(
        &self,
        modules: &[modules::Module],
        orders: &Orders,
        mut archive: Archive<impl std::io::Write>,
    ) -> std::io::Result<()> {
        for folder in ["/dev", "/etc", "/proc", "/run", "/sys", "/tmp"] {
            archive.directory(folder)?;
        }
        for applet in self.applets.iter().filter(|name| *name != "busybox") {
            archive.link(&format!("/bin/{applet}"), "busybox")?;
        }
        for (path, bytes) in &self.files {
            archive.file(path, bytes)?;
        }
        let mut order = String::new();
        for modules::Module { name, bytes } in modules {
            archive.file(&format!("/modules/{name}.ko"), bytes)?;
            order += &format!("{name}\n");
        }
        archive.file("/modules/order", order.as_bytes())?;
        let (Orders::Plan { lines, environment } | Orders::Shell { lines, environment }) = orders;
        archive.file("/plan", lines.as_bytes())?;
        archive.file("/environment", environment.as_bytes())?;
        if matches!(orders, Orders::Shell { .. }) {
            archive.file("/shell", b"")?;
        }
        archive.file("/init", FIRST.as_bytes())?;
        archive.finish()
    }
}

/// The shared libraries of a program, as its own loader finds them.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let text = cmd::output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} lacks a library: {}", program.display(), missing.trim());
    }
    let words = text.split_whitespace();
    let paths = words.filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// The program without debug information, which is most of it and would be copied twice on the
/// emulated machine; as it is where there is no `strip`.
fn without_debug(program: &Path, scratch: &Path) -> Result<Vec<u8>> {
    if cmd::find("strip").is_none() {
        return read(program);
    }
    let stripped = scratch.join("stripped");
    let mut strip = Command::new("strip");
    strip
        .args(["--strip-debug", "-o"])
        .arg(&stripped)
        .arg(program);
    cmd::output(&mut strip)?;
    read(&stripped)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_file() {
        let folder = std::env::temp_dir().join(format!("scistream-image-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let kernel = Kernel {
            series: super::super::series::Series::V6_1,
            release: "6.1.0".to_owned(),
            image: PathBuf::new(),
            modules: folder.clone(),
        };
        let payload = Payload {
            files: vec![("/t/large".to_owned(), vec![0; 1 << 20])],
            shell: PathBuf::new(),
            applets: Vec::new(),
        };
        let orders = Orders::Plan {
            lines: String::new(),
            environment: String::new(),
        };
        let outcome = payload.write(&kernel, &orders, Path::new("/dev/full"));
        fs::remove_dir_all(&folder).unwrap();
        let words = format!("{:#}", outcome.unwrap_err());
        assert_eq!(
            words,
            "/dev/full cannot be written: No space left on device (os error 28)"
        );
    }

    #[test]
    fn a_program_has_libraries_with_paths() {
        let libraries = libraries_of(Path::new("/bin/ls")).unwrap();
        assert!(libraries.iter().any(|path| path.ends_with("libc.so.6")));
        assert!(libraries.iter().all(|path| path.is_file()));
    }
}
