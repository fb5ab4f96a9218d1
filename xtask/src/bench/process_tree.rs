//! What a relay's processes use: memory, and how often their threads were switched to.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A process and all its descendants, looked up anew at every question.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessTree {
    root: u32,
}

impl ProcessTree {
    /// The tree below and with process `root`.
    pub(super) fn of(root: u32) -> Self {
        Self { root }
    }

    /// Memory in KiB: the proportional set size, so that what processes share counts once. What
    /// the kernel holds for them (sockets, pipes, maps) is not in it.
    ///
    /// Errors when the root is gone or its memory may not be read.
    pub(super) fn memory_kib(self) -> Result<u64> {
        let mut total = 0;
        for id in self.members()? {
            let path = format!("/proc/{id}/smaps_rollup");
            match fs::read_to_string(&path) {
                Ok(text) => total += field(&text, "Pss:").unwrap_or(0),
                // A process of a forking relay may end between the listing and the reading.
                Err(_) if id != self.root => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }
        Ok(total)
    }

    /// Context switches of all threads since they began.
    ///
    /// Errors when the root is gone.
    pub(super) fn context_switches(self) -> Result<u64> {
        Ok(self.members()?.into_iter().map(switches_of).sum())
    }

    fn members(self) -> Result<Vec<u32>> {
        let processes = fs::read_dir("/proc").context("cannot read /proc")?;
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in processes.flatten() {
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(id) = id
                && let Some(parent) = parent_of(&entry.path())
            {
                children.entry(parent).or_default().push(id);
            }
        }
        Ok(descend(self.root, &children))
    }
}

fn descend(root: u32, children: &HashMap<u32, Vec<u32>>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(id) = found.get(next) {
        found.extend(children.get(id).into_iter().flatten().copied());
        next += 1;
    }
    found
}

fn parent_of(process: &Path) -> Option<u32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name in parentheses may hold spaces: fields are counted from behind it.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

fn switches_of(process: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return 0;
    };
    let status = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("status")).ok()?;
        let voluntary = field(&text, "voluntary_ctxt_switches:")?;
        Some(voluntary + field(&text, "nonvoluntary_ctxt_switches:")?)
    });
    status.sum()
}

/// The number behind the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_descendants_are_members() {
        let children = HashMap::from([(1, vec![2, 3]), (3, vec![4]), (9, vec![10])]);
        let mut members = descend(1, &children);
        members.sort_unstable();
        assert_eq!(members, [1, 2, 3, 4]);
    }

    #[test]
    fn switches_are_not_mistaken_for_one_another() {
        let text = "Name:\tx\nnonvoluntary_ctxt_switches:\t5\nvoluntary_ctxt_switches:\t7\n";
        assert_eq!(field(text, "voluntary_ctxt_switches:"), Some(7));
        assert_eq!(field(text, "nonvoluntary_ctxt_switches:"), Some(5));
        assert_eq!(field(text, "Pss:"), None);
    }

    #[test]
    fn this_process_has_memory_and_switches() {
        let tree = ProcessTree::of(std::process::id());
        assert!(tree.memory_kib().unwrap() > 0);
        assert!(tree.context_switches().unwrap() > 0);
    }
}
