//! Whose sample it is: ours and the kernel's are kept, those of whatever else ran are not.
//!
//! `perf script --show-task-events` tells of each process when it begins, and at the beginning of
//! those that were there, by whom it was started.

use std::collections::HashSet;
use std::io::{BufRead, Result};

/// The ancestor of all kernel threads.
const KERNEL_THREADS: u32 = 2;

/// The idle loop's process: its samples count where they are interrupts.
const IDLE: u32 = 0;

/// What the kernel runs when an interrupt has left it work: also in the idle loop's name.
const SOFT_INTERRUPT: &str = "handle_softirqs";

/// The samples, in perf's own words, of kernel threads, of `ancestor` and all that descend from
/// it, and of interrupts of idle CPUs.
pub(super) fn samples_of(ancestor: u32, script: impl BufRead) -> Result<String> {
    let mut family = HashSet::from([ancestor, KERNEL_THREADS]);
    let (mut kept, mut sample) = (String::new(), Sample::default());
    for line in script.lines() {
        let line = line?;
        if let Some([child, parent]) = fork(&line) {
            if family.contains(&parent) {
                family.insert(child);
            }
        } else if line.trim().is_empty() {
            sample.end(&family, &mut kept);
        } else if !line.contains("PERF_RECORD_") {
            sample.add(&line);
        }
    }
    sample.end(&family, &mut kept);
    Ok(kept)
}

/// The lines of one sample.
#[derive(Default)]
struct Sample {
    text: String,
    process: Option<u32>,
}

impl Sample {
    fn add(&mut self, line: &str) {
        if self.text.is_empty() {
            self.process = process(line);
        }
        self.text += line;
        self.text.push('\n');
    }

    fn end(&mut self, family: &HashSet<u32>, kept: &mut String) {
        let keep = match self.process {
            Some(IDLE) => self.text.contains(SOFT_INTERRUPT),
            Some(process) => family.contains(&process),
            None => false,
        };
        if keep {
            *kept += &self.text;
            kept.push('\n');
        }
        *self = Self::default();
    }
}

/// The process in a sample's first line: `comm PID/TID TIME: EVENT:`, where `comm` may hold
/// anything.
fn process(line: &str) -> Option<u32> {
    line.split_whitespace().rev().find_map(|word| {
        let (process, thread) = word.split_once('/')?;
        thread.parse::<u32>().ok()?;
        process.parse().ok()
    })
}

/// Child and parent of `PERF_RECORD_FORK(CHILD:THREAD):(PARENT:THREAD)`.
fn fork(line: &str) -> Option<[u32; 2]> {
    let (_, rest) = line.split_once("PERF_RECORD_FORK(")?;
    let (child, parent) = rest.split_once("):(")?;
    let number = |text: &str| text.split(':').next()?.parse().ok();
    Some([number(child)?, number(parent)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "swapper 0/0 0.0: PERF_RECORD_FORK(1:1):(0:0)\n\
        swapper 0/0 0.0: PERF_RECORD_FORK(2:2):(0:0)\n\
        kthreadd 0/0 0.0: PERF_RECORD_FORK(7:7):(2:2)\n\
        kthreadd 0/0 0.0: PERF_RECORD_COMM: kworker/0:1:7/7\n\
        init 0/0 0.0: PERF_RECORD_FORK(50:50):(1:1)\n\
        xtask 50/50 1.0: PERF_RECORD_FORK(60:60):(50:50)\n\
        a b/c 60/61 1.1: cpu-clock:\n\tffff ours_too (k)\n\n\
        kworker/0:1 7/7 1.2: cpu-clock:\n\tffff kernels (k)\n\n\
        rustc 99/99 1.3: cpu-clock:\n\tffff strangers (k)\n\n\
        swapper 0/0 1.4: cpu-clock:\n\tffff default_idle (k)\n\n\
        swapper 0/0 1.5: cpu-clock:\n\tffff net_rx (k)\n\tffff handle_softirqs (k)\n\n\
        xtask 50/50 1.6: cpu-clock:\n\tffff last (k)\n";

    #[test]
    fn our_descendants_and_the_kernels_work_are_kept() {
        let kept = samples_of(50, SCRIPT.as_bytes()).unwrap();
        for wanted in ["ours_too", "kernels", "net_rx", "last"] {
            assert!(kept.contains(wanted), "{kept}");
        }
        for other in ["strangers", "default_idle", "PERF_RECORD"] {
            assert!(!kept.contains(other), "{kept}");
        }
        assert_eq!(kept.matches("cpu-clock:\n").count(), 4);
    }

    #[test]
    fn a_fork_has_a_child_and_a_parent() {
        let line = "x 0/0 0.0: PERF_RECORD_FORK(3:4):(2:1)";
        assert_eq!(fork(line), Some([3, 2]));
        assert_eq!(fork("x 0/0 0.0: cpu-clock:"), None);
    }
}
