//! What everybody else does on this machine while a sample is taken.
//!
//! ```text
//!   Σ over processes that are not ours of (own time + time of children they have waited for)
//! ```
//!
//! The sum only grows, whatever starts, ends or is waited for in between: what an ended process
//! had used is in its parent's figure. Kernel threads are left out: they work for our load, too.
//! What ends after its parent, as a peer does whose PID namespace is taken down, stays ours: see
//! [`adopt_orphans`].

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc/PID/stat` (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU-seconds per second of other processes from which a sample counts as disturbed.
pub(crate) const DISTURBED: f64 = 0.10;

/// The parent of all kernel threads.
const KTHREADD: u32 = 2;

/// A reading; [`Others::since`] compares two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    at: Instant,
    ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    id: u32,
    parent: u32,
    ticks: u64,
}

/// Makes descendants of ours that lose their parent children of ours, where they would have become
/// init's, and their time somebody else's. They stay zombies until we end: a few hundred entries of
/// the process table in the longest run.
///
/// Errors when the kernel refuses (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
pub(super) fn adopt_orphans() -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("cannot become the parent of orphans: prctl(PR_SET_CHILD_SUBREAPER)")
}

impl Others {
    /// Reads what everybody but us has used so far.
    ///
    /// Errors when `/proc` cannot be listed.
    pub(super) fn read() -> Result<Self> {
        let entries = fs::read_dir("/proc").context("cannot read /proc")?;
        let processes: Vec<Entry> = entries
            .flatten()
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                parse(id, &fs::read_to_string(entry.path().join("stat")).ok()?)
            })
            .collect();
        Ok(Self {
            at: Instant::now(),
            ticks: foreign_ticks(&processes, std::process::id()),
        })
    }

    /// CPU-seconds per second that others have used since `start`.
    ///
    /// Errors as [`Others::read`].
    pub(super) fn since(start: Self) -> Result<f64> {
        let now = Self::read()?;
        let used = now.ticks.saturating_sub(start.ticks) as f64 / TICKS_PER_SECOND;
        Ok(used / (now.at - start.at).as_secs_f64())
    }
}

fn foreign_ticks(processes: &[Entry], own: u32) -> u64 {
    let mut ours = HashSet::from([own]);
    // A child is listed after its parent, unless process ids have come around: look again then.
    loop {
        let before = ours.len();
        for process in processes {
            if ours.contains(&process.parent) {
                ours.insert(process.id);
            }
        }
        if ours.len() == before {
            break;
        }
    }
    let foreign = processes.iter().filter(|process| {
        !ours.contains(&process.id) && process.id != KTHREADD && process.parent != KTHREADD
    });
    foreign.map(|process| process.ticks).sum()
}

fn parse(id: u32, stat: &str) -> Option<Entry> {
    // The name in parentheses may hold spaces: fields are counted from behind it. The first is
    // the third of proc(5); times are the 14th to the 17th.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    Some(Entry {
        id,
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks.sum::<Result<u64, _>>().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_process_and_its_ended_children_add_up() {
        let stat = "7 (a b) c) S 3 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6\n";
        assert_eq!(
            parse(7, stat),
            Some(Entry {
                id: 7,
                parent: 3,
                ticks: 100
            })
        );
        assert_eq!(parse(7, "7 (x"), None);
    }

    #[test]
    fn ours_and_the_kernels_are_nobody_elses() {
        let entry = |id, parent, ticks| Entry { id, parent, ticks };
        let processes = [
            entry(1, 0, 1),
            entry(2, 0, 10),
            entry(9, 2, 100),
            entry(50, 60, 1_000),
            entry(60, 1, 10_000),
            entry(70, 1, 2),
        ];
        // 60 is ours, and 50 is its child though its id is lower.
        assert_eq!(foreign_ticks(&processes, 60), 3);
    }

    #[test]
    fn the_time_of_an_orphan_of_ours_stays_ours() {
        adopt_orphans().unwrap();
        // The shell ends at once and leaves a loop that the clock ends.
        let script = "(timeout 0.3 sh -c 'while :; do :; done') >/dev/null 2>&1 & echo $!";
        let said = std::process::Command::new("sh")
            .args(["-c", script])
            .output()
            .unwrap();
        let orphan: u32 = String::from_utf8(said.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let stat = || fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap();
        while !stat().contains(") Z ") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let entry = parse(orphan, &stat()).unwrap();
        assert_eq!(entry.parent, std::process::id());
        assert!(entry.ticks > 0, "{entry:?}");
    }

    #[test]
    fn what_others_use_never_shrinks() {
        let start = Others::read().unwrap();
        assert!(Others::since(start).unwrap() >= 0.0);
    }
}
