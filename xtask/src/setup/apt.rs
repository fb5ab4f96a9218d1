//! apt and dpkg: looking packages up, downloading and installing them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::say;
use crate::{cmd, workspace};

/// Debian's package tools. Without root the package lists are kept in a private folder, since the
/// system's can neither be refreshed nor trusted to be fresh.
pub(super) struct Apt {
    private: Option<PathBuf>,
}

impl Apt {
    /// apt of this system; `dir` holds the private lists where they are needed.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb", "dpkg-query"] {
            if cmd::find(program).is_none() {
                bail!("this system has no {program}");
            }
        }
        // A private list of an earlier run is newer than the system's.
        let private = private_folder(dir).filter(|dir| dir.is_dir());
        Ok(Self { private })
    }

    /// The same with package lists fetched now.
    pub(super) fn refreshed(dir: &Path) -> Result<Self> {
        say("refreshing Debian's package lists");
        let private = private_folder(dir);
        if let Some(dir) = &private {
            for part in ["lists/partial", "cache/archives/partial"] {
                fs::create_dir_all(dir.join(part))
                    .with_context(|| format!("{} cannot be made", dir.display()))?;
            }
        }
        let apt = Self { private };
        let mut command = apt.command("apt-get");
        command.args(["update", "-o", "APT::Update::Error-Mode=any"]);
        cmd::output_or("Debian's package servers cannot be reached", &mut command)?;
        Ok(apt)
    }

    /// The version that would be installed.
    pub(super) fn candidate(&self, package: &str) -> Result<Option<String>> {
        let text = cmd::output(self.command("apt-cache").args(["policy", package]))?;
        Ok(candidate(&text))
    }

    /// The packages that `package` depends on directly; virtual ones are left out.
    pub(super) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let mut command = self.command("apt-cache");
        let text = cmd::output(command.args(["depends", "--important", package]))?;
        Ok(dependencies(&text))
    }

    /// Whether dpkg has the package installed.
    pub(super) fn is_installed(&self, package: &str) -> bool {
        let mut query = Command::new("dpkg-query");
        // It fails for names it never heard of.
        let status = cmd::output(query.args(["-W", "-f", "${db:Status-Status} ", package]));
        status.is_ok_and(|status| status.split_whitespace().any(|word| word == "installed"))
    }

    /// Downloads packages into `into`, without installing them.
    pub(super) fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.current_dir(into).arg("download").args(packages);
        cmd::output_or("Debian's packages cannot be downloaded", &mut command).map(drop)
    }

    /// Installs packages on the system, as root.
    pub(super) fn install(&self, packages: &[&str]) -> Result<()> {
        let mut command = self.command("apt-get");
        command
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages);
        command
            .args(["-o", "DPkg::Lock::Timeout=300"])
            .env("DEBIAN_FRONTEND", "noninteractive");
        cmd::output_or("Debian's packages cannot be installed", &mut command).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        // apt would otherwise fetch as the user `_apt`, who may not write into our folders.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]);
        if let Some(dir) = &self.private {
            for (option, value) in [
                ("Dir::State::Lists=", dir.join("lists")),
                ("Dir::Cache=", dir.join("cache")),
            ] {
                command
                    .arg("-o")
                    .arg(format!("{option}{}", value.display()));
            }
            command.args(["-o", "Debug::NoLocking=1"]);
        }
        command
    }
}

/// Where package lists are kept for a user who may not refresh the system's.
fn private_folder(dir: &Path) -> Option<PathBuf> {
    (!workspace::is_root()).then(|| dir.join("apt"))
}

/// Reads the answer of `apt-cache policy`, which is empty for a name it does not know.
fn candidate(policy: &str) -> Option<String> {
    let version = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (version != "(none)").then(|| version.to_owned())
}

/// Reads the answer of `apt-cache depends`. Of alternatives the first is taken: it is the one that
/// apt would install.
fn dependencies(answer: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut settled = false;
    for line in answer.lines() {
        let alternatives_follow = line.starts_with(" |");
        let relation = line.trim_start_matches([' ', '|']);
        let Some(name) = relation
            .strip_prefix("Depends: ")
            .or_else(|| relation.strip_prefix("PreDepends: "))
        else {
            continue;
        };
        let is_virtual = name.starts_with('<');
        if !settled && !is_virtual {
            names.push(name.to_owned());
        }
        settled = alternatives_follow && (settled || !is_virtual);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_the_policy() {
        let policy = "x:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1\n  Version table:\n";
        assert_eq!(candidate(policy), Some("1.96.0+dfsg1".to_owned()));
    }

    #[test]
    fn an_unknown_package_has_no_candidate() {
        assert_eq!(candidate(""), None);
        assert_eq!(
            candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
    }

    #[test]
    fn dependencies_leave_out_virtual_packages_and_second_choices() {
        let answer = "rustc-web\n  PreDepends: libc6\n  Depends: gcc\n  Depends: <libc-dev>\n    \
                      libc6-dev\n |Depends: first\n  Depends: second\n  Depends: last\n  \
                      Conflicts: rustc\n";
        assert_eq!(dependencies(answer), ["libc6", "gcc", "first", "last"]);
    }

    #[test]
    fn a_virtual_first_choice_leaves_the_second() {
        assert_eq!(
            dependencies("x\n |Depends: <virtual>\n  Depends: real\n"),
            ["real"]
        );
    }
}
