//! Whole-system CPU time that adds up.
//!
//! Tick-sampled `/proc/stat` misses work that timers start, because the work is over before the
//! next tick looks. Here one *soaker* thread per core runs in `SCHED_IDLE` and reads the clock
//! without pause: between two readings that lie close together the core had nothing else to do,
//! and every longer gap is time that threads, kernel workers, soft and hard interrupts took.
//!
//! ```text
//!  busy = cores × elapsed − soaked by the soakers − stolen by the host
//! ```
//!
//! What counts as "close" is calibrated on each core when the meter starts (the median distance
//! of two readings, which also absorbs the clock's own cost), and [`check`] holds the result
//! against loads whose CPU time is known exactly.
//!
//! A core that soaks never sleeps and never looks for work of other cores on its way to sleep,
//! which changes throughput and latency. So the soakers are parked outside [`Meter::over`], and
//! what is compared by speed is measured without them.

pub(super) mod check;
mod fairness;
mod soaker;

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use self::fairness::FlatScheduling;
use self::soaker::Soaker;

/// Clock ticks per second in `/proc/stat` (`USER_HZ`, fixed by the kernel's ABI on every
/// architecture this runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// One parked soaker per core.
#[derive(Debug)]
pub(super) struct Meter {
    soakers: Vec<Soaker>,
    /// Dropped after the soakers.
    _flat: FlatScheduling,
}

/// What the machine did during a piece of work. All in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Wall-clock time.
    pub(super) elapsed_s: f64,
    /// CPU time of everything except the soakers, over all cores.
    pub(super) busy_s: f64,
    /// CPU time the host gave to others.
    pub(super) stolen_s: f64,
    /// The same as `busy_s` by tick-sampled `/proc/stat`, without niced threads: to show how far
    /// it is off.
    pub(super) stat_busy_s: f64,
}

/// The meter's own figures.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct MeterFacts {
    /// The longest clock gap that counts as idle, per core, nanoseconds.
    pub(crate) thresholds_ns: Vec<u64>,
    /// CPU seconds per second of the machine on its own, before every repeat and at the end.
    pub(crate) background: Vec<f64>,
    /// Known loads, metered at the beginning and at the end.
    pub(crate) checks: Vec<check::MeterCheck>,
}

#[derive(Clone, Debug)]
struct Reading {
    at: Instant,
    soaked_ns: u64,
    stolen_s: f64,
    stat_busy_s: f64,
}

/// Parks the soakers at the end, also of a panic.
struct Soaking<'a>(&'a [Soaker]);

impl Meter {
    /// Starts and calibrates one soaker per core.
    ///
    /// Errors when a core cannot be pinned or the scheduling class is refused.
    pub(super) fn start() -> Result<Self> {
        let flat = FlatScheduling::arrange()?;
        let soakers = online_cores()?
            .into_iter()
            .map(Soaker::start)
            .collect::<Result<_>>()?;
        Ok(Self {
            soakers,
            _flat: flat,
        })
    }

    /// What the machine uses while `work` runs.
    ///
    /// Errors as `work`, and when `/proc/stat` cannot be read.
    pub(super) fn over<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Usage)> {
        let soaking = Soaking::begin(&self.soakers);
        let start = self.read()?;
        let answer = work()?;
        let end = self.read()?;
        drop(soaking);
        Ok((answer, self.between(&start, &end)))
    }

    /// The longest distance between two clock readings that counts as idle, per core, in
    /// nanoseconds.
    pub(super) fn thresholds_ns(&self) -> Vec<u64> {
        self.soakers.iter().map(Soaker::threshold_ns).collect()
    }

    fn read(&self) -> Result<Reading> {
        let (busy_ticks, stolen_ticks) = stat_ticks(&proc_stat()?)
            .context("the first line of /proc/stat does not list the CPU's ticks")?;
        Ok(Reading {
            at: Instant::now(),
            soaked_ns: self.soakers.iter().map(Soaker::soaked_ns).sum(),
            stolen_s: stolen_ticks / TICKS_PER_SECOND,
            stat_busy_s: busy_ticks / TICKS_PER_SECOND,
        })
    }

    fn between(&self, start: &Reading, end: &Reading) -> Usage {
        let elapsed_s = (end.at - start.at).as_secs_f64();
        let soaked_s = (end.soaked_ns - start.soaked_ns) as f64 / 1e9;
        let stolen_s = end.stolen_s - start.stolen_s;
        let cores = self.soakers.len() as f64;
        Usage {
            elapsed_s,
            busy_s: (elapsed_s * cores - soaked_s - stolen_s).max(0.0),
            stolen_s,
            stat_busy_s: end.stat_busy_s - start.stat_busy_s,
        }
    }
}

impl<'a> Soaking<'a> {
    fn begin(soakers: &'a [Soaker]) -> Self {
        soakers.iter().for_each(|soaker| soaker.set_soaking(true));
        Self(soakers)
    }
}

impl Drop for Soaking<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|soaker| soaker.set_soaking(false));
    }
}

/// The numbers of the cores that are online: the meter needs all of them.
///
/// Errors when the kernel does not say.
pub(super) fn online_cores() -> Result<Vec<usize>> {
    const ONLINE: &str = "/sys/devices/system/cpu/online";
    let text = std::fs::read_to_string(ONLINE).with_context(|| format!("cannot read {ONLINE}"))?;
    core_list(&text).with_context(|| format!("{ONLINE} does not list cores: {text}"))
}

/// Parses `0-3,8`.
fn core_list(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

fn proc_stat() -> Result<String> {
    std::fs::read_to_string("/proc/stat").context("reading /proc/stat")
}

/// Busy and stolen ticks of all cores together, from the text of `/proc/stat`.
fn stat_ticks(text: &str) -> Option<(f64, f64)> {
    let mut fields = text.lines().next()?.split_ascii_whitespace();
    if fields.next()? != "cpu" {
        return None;
    }
    let ticks: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
    // The soakers are niced, so their own time is all in `nice`.
    let &[
        user,
        _nice,
        system,
        _idle,
        _iowait,
        irq,
        softirq,
        stolen,
        ..,
    ] = ticks.as_slice()
    else {
        return None;
    };
    Some((user + system + irq + softirq, stolen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_stat_splits_into_busy_and_stolen() {
        let text = "cpu  10 20 30 400 50 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(stat_ticks(text), Some((53.0, 8.0)));
    }

    #[test]
    fn lists_of_cores_have_ranges_and_single_ones() {
        assert_eq!(core_list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(core_list("0\n"), Some(vec![0]));
        assert_eq!(core_list("\n"), None);
    }

    #[test]
    fn a_stat_file_without_the_summary_line_is_refused() {
        assert_eq!(stat_ticks("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(stat_ticks("cpu 1 2 3\n"), None);
        assert_eq!(stat_ticks(""), None);
    }
}
