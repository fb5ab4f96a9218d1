//! Makes `SCHED_IDLE` mean what it says.
//!
//! A `SCHED_IDLE` thread yields only to the threads of its own scheduling group. With autogroups
//! (one group per login session) or inside a cgroup with the CPU controller, a soaker would share
//! the core evenly with the kernel's workers, which live in the root group. So, while the meter
//! runs, autogroups are off and this process sits in the root CPU cgroup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bpf_tests::cleanup;

const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";

/// Undoes the autogroup setting when dropped. The move to the root cgroup stays until the
/// process ends, as its children inherit it.
#[derive(Debug)]
pub(super) struct FlatScheduling {
    autogroup_was_on: bool,
}

impl FlatScheduling {
    /// Turns autogroups off and moves this process to the root of the CPU controller's tree.
    ///
    /// Errors when either is needed and refused (both want root).
    pub(super) fn arrange() -> Result<Self> {
        let autogroup_was_on = match fs::read_to_string(AUTOGROUP) {
            Ok(text) => text.trim() == "1",
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error).with_context(|| format!("reading {AUTOGROUP}")),
        };
        // Built before the writes, so that a failure half-way still restores.
        let flat = Self { autogroup_was_on };
        if autogroup_was_on {
            cleanup::on_ending_signal(restore_or_warn)?;
            fs::write(AUTOGROUP, "0").with_context(|| {
                format!("turning {AUTOGROUP} off for the CPU meter (run as root)")
            })?;
        }
        let membership =
            fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
        if let Some(door) = way_to_root(&membership) {
            fs::write(&door, std::process::id().to_string()).with_context(|| {
                format!(
                    "moving to the root CPU group by {} (run as root)",
                    door.display()
                )
            })?;
        }
        Ok(flat)
    }
}

impl Drop for FlatScheduling {
    fn drop(&mut self) {
        if self.autogroup_was_on {
            restore_or_warn();
        }
    }
}

fn restore_or_warn() {
    if let Err(error) = fs::write(AUTOGROUP, "1") {
        eprintln!("warning: {AUTOGROUP} stays off: {error}");
    }
}

/// The file that takes a process into the root group of the CPU controller, or `None` when
/// `membership` (the text of `/proc/self/cgroup`) says it is there already.
fn way_to_root(membership: &str) -> Option<PathBuf> {
    let mut unified = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.split(',').any(|name| name == "cpu") {
            // Version 1 holds the CPU controller, so version 2 does not.
            return (path != "/").then(|| mount(controllers));
        }
        if controllers.is_empty() && path != "/" {
            unified = Some(PathBuf::from("/sys/fs/cgroup/cgroup.procs"));
        }
    }
    unified
}

fn mount(controllers: &str) -> PathBuf {
    Path::new("/sys/fs/cgroup")
        .join(controllers)
        .join("cgroup.procs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_in_the_root_group_stays_where_it_is() {
        assert_eq!(way_to_root("0::/\n"), None);
        assert_eq!(way_to_root("4:memory:/a/b\n1:cpu:/\n0::/x\n"), None);
    }

    #[test]
    fn a_session_scope_leads_to_the_unified_root() {
        let membership = "0::/user.slice/user-0.slice/session-1.scope\n";
        assert_eq!(
            way_to_root(membership),
            Some(PathBuf::from("/sys/fs/cgroup/cgroup.procs"))
        );
    }

    #[test]
    fn a_version_1_group_leads_to_its_own_hierarchy() {
        let membership = "3:cpu,cpuacct:/docker/x\n0::/\n";
        let wanted = PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/cgroup.procs");
        assert_eq!(way_to_root(membership), Some(wanted));
    }
}
