//! Samples as folded stacks, `process;outermost;…;innermost count`, and what they add up to.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use anyhow::{Context, Result};
use inferno::collapse::Collapse as _;
use inferno::collapse::perf::{Folder, Options};

/// Processes that are not what the row does: perf, and the bench's own soakers, which take what is
/// left of each CPU.
const OTHERS: [&str; 2] = ["perf", "soak-"];

/// The bench's check of its own meter, by loads that are known.
const METER: &str = "::bench::meter::";

/// What marks a frame of the kernel.
const KERNEL: &str = "_[k]";

/// A frame that no symbol is known for.
const UNKNOWN: &str = "[unknown]";

/// Folded stacks of the processes that matter.
pub(super) struct Folded {
    lines: Vec<String>,
}

impl Folded {
    /// Reads the output of `perf script`.
    pub(super) fn read(samples: impl Read) -> Result<Self> {
        let mut options = Options::default();
        options.annotate_kernel = true;
        let mut text = Vec::new();
        Folder::from(options)
            .collapse(BufReader::new(samples), &mut text)
            .context("the samples of perf cannot be read")?;
        Ok(Self::of(&String::from_utf8_lossy(&text)))
    }

    fn of(text: &str) -> Self {
        let matters = |line: &&str| {
            !line.contains(METER) && !OTHERS.iter().any(|other| line.starts_with(other))
        };
        Self {
            lines: text.lines().filter(matters).map(without_guesses).collect(),
        }
    }

    /// The stacks.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// How many samples they are.
    pub(super) fn samples(&self) -> u64 {
        self.stacks().map(|(_, count)| count).sum()
    }

    /// The functions in which the CPU was found most often, each in whose name.
    pub(super) fn table(&self, most: usize) -> String {
        let mut innermost = BTreeMap::new();
        let mut processes = BTreeMap::new();
        for (stack, count) in self.stacks() {
            let (process, frames) = stack.split_once(';').unwrap_or((stack, stack));
            let leaf = frames.rsplit(';').next().unwrap_or(frames);
            *innermost.entry((leaf, process)).or_insert(0) += count;
            *processes.entry(process).or_insert(0) += count;
        }
        let mut table = String::from(" share  process           function\n");
        for ((leaf, process), count) in by_count(innermost).into_iter().take(most) {
            let (name, place) = match leaf.strip_suffix(KERNEL) {
                Some(name) => (name, "kernel"),
                None => (leaf, ""),
            };
            let line = format!("{}  {process:<16}  {name}  {place}", self.share(count));
            table += line.trim_end();
            table.push('\n');
        }
        table += "\n share  process\n";
        for (process, count) in by_count(processes).into_iter().take(most) {
            table += &format!("{}  {process}\n", self.share(count));
        }
        table
    }

    fn share(&self, count: u64) -> String {
        format!("{:>5.1}%", 100.0 * count as f64 / self.samples() as f64)
    }

    fn stacks(&self) -> impl Iterator<Item = (&str, u64)> {
        self.lines.iter().filter_map(|line| {
            let (stack, count) = line.rsplit_once(' ')?;
            Some((stack, count.parse().ok()?))
        })
    }
}

/// The stack with one unknown frame where there are many in a row: a program built without frame
/// pointers, walked by them, is a hundred frames of guesses, and a picture as high as that.
fn without_guesses(line: &str) -> String {
    let mut frames: Vec<&str> = line.split(';').collect();
    frames.dedup_by(|frame, before| *frame == UNKNOWN && *before == UNKNOWN);
    frames.join(";")
}

/// The entries, the largest count first.
fn by_count<K: Ord>(counts: BTreeMap<K, u64>) -> Vec<(K, u64)> {
    let mut entries: Vec<_> = counts.into_iter().collect();
    entries.sort_by(|(left, less), (right, more)| more.cmp(less).then(left.cmp(right)));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDED: &str = "s2cs;main;do_splice_[k];tcp_sendmsg_[k] 60\n\
                          iperf3;tcp_sendmsg_[k] 30\n\
                          s2cs;main 10\n\
                          soak-0;spin 500\nxtask;xtask::bench::meter::check::spin 70\nperf;write_[k] 5\n";

    #[test]
    fn measuring_is_left_out() {
        let folded = Folded::of(FOLDED);
        assert_eq!(folded.samples(), 100);
        assert!(folded.lines().all(|line| !line.contains("spin")));
    }

    #[test]
    fn the_table_has_functions_and_processes_by_their_shares() {
        let table = Folded::of(FOLDED).table(2);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[1], " 60.0%  s2cs              tcp_sendmsg  kernel");
        assert_eq!(lines[2], " 30.0%  iperf3            tcp_sendmsg  kernel");
        assert_eq!(lines[5], " 70.0%  s2cs");
        assert_eq!(lines.len(), 7, "{table}");
    }

    #[test]
    fn a_row_of_unknown_frames_is_one() {
        let folded = Folded::of("ip;[unknown];[unknown];[unknown];main;main;[unknown];do_[k] 2\n");
        let lines: Vec<&str> = folded.lines().collect();
        assert_eq!(lines, ["ip;[unknown];main;main;[unknown];do_[k] 2"]);
    }

    #[test]
    fn what_perf_prints_is_folded_by_process() {
        let script = "s2cs  10/10  1.000001: cpu-clock: \n\
                      \tffffffff81000010 tcp_sendmsg+0x10 ([kernel.kallsyms])\n\
                      \t          401000 main+0x0 (/usr/bin/s2cs)\n\n";
        let folded = Folded::read(script.as_bytes()).unwrap();
        let lines: Vec<&str> = folded.lines().collect();
        assert_eq!(lines, ["s2cs;main;tcp_sendmsg_[k] 1"]);
    }
}
