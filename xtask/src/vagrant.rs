//! `cargo xtask vagrant`: the four hosts of `vagrant/`, as far as a machine without virtual
//! machines can try them.
//!
//! `validate` holds the Vagrantfile against Vagrant and its libvirt provider themselves, and the
//! scripts against shellcheck; `scenarios` runs the real scenarios in network namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bpf_tests::sys;

use crate::setup::{self, Need};
use crate::vm::Packages;
use crate::{build, build_ebpf, cmd, workspace};

/// Debian's packages that the validation runs; never installed, since half of Ruby comes along.
const PACKAGES: [&str; 3] = ["vagrant", "vagrant-libvirt", "shellcheck"];

/// What runs in the throw-away root.
const INSIDE: &str = include_str!("vagrant/inside.sh");

/// The scenarios, in the order of the README.
const SCENARIOS: [&str; 3] = ["stream", "release_midway", "gateway_restart"];

/// Arguments of `cargo xtask vagrant`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Task,
}

/// What to do.
#[derive(Clone, Copy, clap::Subcommand)]
enum Task {
    /// Run the scenarios in network namespaces on this machine, with the real `s2cs`
    Scenarios,
    /// Check the Vagrantfile with Vagrant, and the scripts with shellcheck
    Validate,
}

impl Task {
    /// Whether this user may run it: known before anything is built.
    fn may_run(self) -> Result<()> {
        let why = match self {
            Self::Scenarios => "the scenarios make network namespaces: run them as root",
            Self::Validate => {
                "vagrant validate mounts a root of its own for Vagrant: run it as root"
            }
        };
        ensure!(workspace::is_root(), why);
        Ok(())
    }
}

/// Entry point of `cargo xtask vagrant`.
pub(crate) fn main(args: Args) -> Result<()> {
    let Args { task } = args;
    task.may_run()?;
    build_ebpf::build()?;
    build::daemon()?;
    match task {
        Task::Scenarios => scenarios(),
        Task::Validate => validate(),
    }
}

/// Checks the Vagrantfile and the scripts. The Vagrantfile names `s2cs`, which must be built.
pub(crate) fn validate() -> Result<()> {
    Task::Validate.may_run()?;
    let folder = workspace::target().join("vagrant");
    let packages = Packages::open(&folder.join("cache"))?.unpacked(&PACKAGES)?;
    let root = Root::new(&folder, packages)?;
    let mut scripts = scripts(&workspace::root().join("vagrant"))?;
    scripts.insert(0, "shellcheck".to_owned());
    // hosts.sh is read along with the scenarios that source it.
    scripts.insert(1, "--external-sources".to_owned());
    scripts.insert(2, "--source-path=SCRIPTDIR".to_owned());
    root.run(&scripts)?;
    root.run(&["vagrant".to_owned(), "validate".to_owned()])
}

/// Runs the scenarios on this machine.
pub(crate) fn scenarios() -> Result<()> {
    Task::Scenarios.may_run()?;
    setup::ensure(&[Need::Namespaces, Need::Rivals, Need::Traffic])?;
    let script = workspace::root().join("vagrant/scenarios/on_one_machine.sh");
    let mut command = Command::new(script);
    command
        .args(SCENARIOS)
        .env("S2CS", workspace::target().join("release/s2cs"));
    cmd::run(&mut command)
}

/// The scripts below a folder, as paths in the throw-away root.
fn scripts(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for part in ["provision", "scenarios"] {
        let folder = folder.join(part);
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".sh") {
                found.push(format!("/tree/vagrant/{part}/{name}"));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A root of unpacked packages over this system, gone when its command ends.
struct Root {
    packages: PathBuf,
    script: PathBuf,
    mount_point: PathBuf,
}

impl Root {
    fn new(folder: &Path, packages: PathBuf) -> Result<Self> {
        let (script, mount_point) = (folder.join("inside.sh"), folder.join("root"));
        fs::create_dir_all(&mount_point)
            .with_context(|| format!("{} cannot be made", mount_point.display()))?;
        fs::write(&script, INSIDE)
            .with_context(|| format!("{} cannot be written", script.display()))?;
        Ok(Self {
            packages,
            script,
            mount_point,
        })
    }

    fn run(&self, command: &[String]) -> Result<()> {
        eprintln!("$ {}", command.join(" "));
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--mount", "--propagation", "private", "sh"])
            .arg(&self.script)
            .arg(&self.packages)
            .arg(workspace::root())
            .arg(&self.mount_point)
            .args(command);
        sys::die_with_spawner(&mut unshare);
        let status = unshare.status().context("unshare cannot be started")?;
        ensure!(
            status.success(),
            "{} found faults; they are above",
            command.first().map_or("it", String::as_str)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_its_script() {
        let found = scripts(&workspace::root().join("vagrant")).unwrap();
        for scenario in SCENARIOS {
            let path = format!("/tree/vagrant/scenarios/{scenario}.sh");
            assert!(found.contains(&path), "{found:?}");
        }
        assert!(found.contains(&"/tree/vagrant/provision/gateway.sh".to_owned()));
    }
}
