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

pub(super) mod check;
mod fairness;
mod soaker;

use std::time::Instant;

use anyhow::{Context, Result};

use self::fairness::FlatScheduling;
use self::soaker::Soaker;

/// Clock ticks per second in `/proc/stat` (`USER_HZ`, fixed by the kernel's ABI on every
/// architecture this runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// The running soakers; they stop when this is dropped.
#[derive(Debug)]
pub(super) struct Meter {
    soakers: Vec<Soaker>,
    /// Dropped after the soakers.
    _flat: FlatScheduling,
}

/// One reading of the meter; two of them make a [`Usage`].
#[derive(Clone, Debug)]
pub(super) struct Reading {
    at: Instant,
    soaked_ns: u64,
    stolen_s: f64,
    stat_busy_s: f64,
}

/// What the machine did between two readings. All in seconds.
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

impl Meter {
    /// Starts and calibrates one soaker per online core.
    ///
    /// Errors when a core cannot be pinned or the scheduling class is refused.
    pub(super) fn start() -> Result<Self> {
        let flat = FlatScheduling::arrange()?;
        let soakers = (0..cores()?).map(Soaker::start).collect::<Result<_>>()?;
        Ok(Self {
            soakers,
            _flat: flat,
        })
    }

    /// A meter that counts no idle time: to see what the soakers themselves do to a load.
    ///
    /// Errors as [`Meter::start`].
    pub(super) fn without_soakers() -> Result<Self> {
        let flat = FlatScheduling::arrange()?;
        Ok(Self {
            soakers: Vec::new(),
            _flat: flat,
        })
    }

    /// Reads the meter.
    ///
    /// Errors when `/proc/stat` cannot be read.
    pub(super) fn read(&self) -> Result<Reading> {
        let (busy_ticks, stolen_ticks) = stat_ticks(&proc_stat()?)
            .context("the first line of /proc/stat does not list the CPU's ticks")?;
        Ok(Reading {
            at: Instant::now(),
            soaked_ns: self.soakers.iter().map(Soaker::soaked_ns).sum(),
            stolen_s: stolen_ticks / TICKS_PER_SECOND,
            stat_busy_s: busy_ticks / TICKS_PER_SECOND,
        })
    }

    /// What happened since `start`.
    ///
    /// Errors as [`Meter::read`].
    pub(super) fn since(&self, start: &Reading) -> Result<Usage> {
        Ok(self.between(start, &self.read()?))
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

    /// The longest distance between two clock readings that counts as idle, per core, in
    /// nanoseconds.
    pub(super) fn thresholds_ns(&self) -> Vec<u64> {
        self.soakers.iter().map(Soaker::threshold_ns).collect()
    }
}

/// How many cores this process may run on.
///
/// Errors when the kernel does not say.
pub(super) fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism()
        .context("asking how many cores there are")?
        .get())
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
    fn a_stat_file_without_the_summary_line_is_refused() {
        assert_eq!(stat_ticks("cpu0 1 2 3 4 5 6 7 8\n"), None);
        assert_eq!(stat_ticks("cpu 1 2 3\n"), None);
        assert_eq!(stat_ticks(""), None);
    }
}
