//! apt and dpkg: looking packages up, downloading and installing them.
//!
//! | package lists | where they lie | who uses them |
//! | --- | --- | --- |
//! | the system's | where apt keeps them | root |
//! | the system's sources, listed privately | a folder of ours | who may not refresh the system's |
//! | one suite of Debian | a folder of ours | kernels that this system's release does not have |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bpf_tests::sys;

use super::say;
use crate::{cmd, workspace};

/// Where Debian's systems keep the key that signs its suites.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's package tools. Without root the package lists are kept in a private folder, since the
/// system's can neither be refreshed nor trusted to be fresh.
pub(crate) struct Apt {
    lists: Lists,
}

enum Lists {
    System,
    /// The system's sources, in a folder of ours.
    Private(PathBuf),
    /// One suite only, in a folder of ours with a `sources.list`.
    Suite(PathBuf),
}

impl Apt {
    /// apt of this system; `dir` holds the private lists where they are needed.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        tools()?;
        // A private list of an earlier run is newer than the system's.
        let private = private_folder(dir).filter(|dir| dir.is_dir());
        let lists = private.map_or(Lists::System, Lists::Private);
        Ok(Self { lists })
    }

    /// The same with package lists fetched now.
    pub(crate) fn refreshed(dir: &Path) -> Result<Self> {
        let lists = private_folder(dir).map_or(Lists::System, Lists::Private);
        let apt = Self { lists };
        apt.refresh()?;
        Ok(apt)
    }

    /// One suite of Debian, from the mirror that this system uses, beside the system's own lists
    /// and without touching them; `dir` is its folder. Its lists are those of an earlier call
    /// until they are refreshed.
    pub(crate) fn of_suite(dir: &Path, suite: &str) -> Result<Self> {
        let signed = if Path::new(KEYRING).is_file() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let source = format!("deb {signed}{} {suite} main", mirror()?);
        Self::of_source(dir.join(suite), &source)
    }

    /// What one line of a `sources.list` names, and nothing else; `folder` is for its lists.
    pub(crate) fn of_source(folder: PathBuf, source: &str) -> Result<Self> {
        tools()?;
        for part in ["parts", "lists/partial", "cache/archives/partial"] {
            make(&folder.join(part))?;
        }
        let list = folder.join("sources.list");
        fs::write(&list, format!("{source}\n"))
            .with_context(|| format!("{} cannot be written", list.display()))?;
        Ok(Self {
            lists: Lists::Suite(folder),
        })
    }

    /// Fetches the package lists anew.
    pub(crate) fn refresh(&self) -> Result<()> {
        say("refreshing Debian's package lists");
        match &self.lists {
            Lists::Private(dir) => {
                for part in ["lists/partial", "cache/archives/partial"] {
                    make(&dir.join(part))?;
                }
            }
            Lists::System | Lists::Suite(_) => {}
        }
        let mut command = self.fetching();
        command.args(["update", "-o", "APT::Update::Error-Mode=any"]);
        cmd::output_or("Debian's package servers cannot be reached", &mut command).map(drop)
    }

    /// The names that begin so, in no order.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = cmd::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Downloads `packages` and whatever of their dependencies this system lacks into `into`,
    /// without installing anything.
    pub(crate) fn download_closure(&self, packages: &[&str], into: &Path) -> Result<()> {
        make(&into.join("partial"))?;
        let mut command = self.fetching();
        command
            .args(["install", "--yes", "--no-install-recommends"])
            .args(["--download-only", "-o", "Debug::NoLocking=1", "-o"])
            .arg(format!("Dir::Cache::Archives={}", into.display()))
            .args(packages);
        cmd::output_or("Debian's packages cannot be downloaded", &mut command).map(drop)
    }

    /// The version that would be installed.
    pub(crate) fn candidate(&self, package: &str) -> Result<Option<String>> {
        let text = cmd::output(self.command("apt-cache").args(["policy", package]))?;
        Ok(candidate(&text))
    }

    /// The packages that `package` depends on directly; virtual ones are left out.
    pub(crate) fn dependencies(&self, package: &str) -> Result<Vec<String>> {
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
    pub(crate) fn download(&self, packages: &[String], into: &Path) -> Result<()> {
        let mut command = self.fetching();
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

    /// An apt-get that changes nothing but files of its own, and so may end whenever we do.
    fn fetching(&self) -> Command {
        let mut command = self.command("apt-get");
        sys::die_with_spawner(&mut command);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        // apt would otherwise fetch as the user `_apt`, who may not write into our folders.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]);
        let mut set = |option: &str, value: PathBuf| {
            let option = format!("{option}={}", value.display());
            command.arg("-o").arg(option);
        };
        match &self.lists {
            Lists::System => return command,
            Lists::Private(dir) => {
                set("Dir::State::Lists", dir.join("lists"));
                set("Dir::Cache", dir.join("cache"));
            }
            Lists::Suite(dir) => {
                set("Dir::State::Lists", dir.join("lists"));
                set("Dir::Cache", dir.join("cache"));
                set("Dir::Etc::SourceList", dir.join("sources.list"));
                set("Dir::Etc::SourceParts", dir.join("parts"));
            }
        }
        command.args(["-o", "Debug::NoLocking=1"]);
        command
    }
}

fn tools() -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb", "dpkg-query"] {
        if cmd::find(program).is_none() {
            bail!("this system has no {program}");
        }
    }
    Ok(())
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))
}

/// The mirror of Debian's main archive that this system's own sources name.
fn mirror() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(ORIGIN) $(CODENAME)",
    ]);
    let text = cmd::output(targets.arg("Created-By: Packages"))?;
    archive_in(&text).with_context(|| {
        "apt's sources name no Debian archive; add one to /etc/apt/sources.list".to_owned()
    })
}

/// Picks the archive of whole releases; security and updates are told by their code names.
fn archive_in(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (archive, origin, codename) = (words.next()?, words.next()?, words.next()?);
        let whole = origin == "Debian" && !codename.contains('-');
        whole.then(|| archive.to_owned())
    })
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
    fn the_mirror_is_that_of_whole_releases_of_debian() {
        let targets = "http://a/apt/ Others bookworm\nhttp://b/security/ Debian bookworm-security\n\
                       http://c/debian/ Debian bookworm\nhttp://d/debian/ Debian trixie\n";
        assert_eq!(archive_in(targets).as_deref(), Some("http://c/debian/"));
        assert_eq!(archive_in("http://a/apt/ Others bookworm\n"), None);
    }

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
