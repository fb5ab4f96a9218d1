//! Proof of the meter: loads whose CPU time the kernel knows exactly, measured by it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::{ClockId as SleepClock, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{Meter, Usage};

/// How long each known load runs.
const CHECK_DURATION: Duration = Duration::from_secs(2);

/// The bursts: this much CPU time ...
const BURST: Duration = Duration::from_micros(500);

/// ... every so often, started by a timer, as a paced sender's are.
const BURST_INTERVAL: Duration = Duration::from_micros(1_300);

/// The share by which the meter may be off before CPU figures are called unproven.
pub(crate) const TOLERANCE: f64 = 0.05;

/// The shape of a known load.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KnownLoad {
    /// One thread that never sleeps.
    Continuous,
    /// One thread that a timer wakes for short bursts.
    Bursts,
}

/// One known load and what the meter made of it. All in seconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct MeterCheck {
    /// What ran.
    pub(crate) load: KnownLoad,
    /// The load's CPU time by `CLOCK_THREAD_CPUTIME_ID`.
    pub(crate) known_s: f64,
    /// What the meter saw, less what it sees on the machine when nothing runs.
    pub(crate) metered_s: f64,
    /// What tick-sampled `/proc/stat` saw of it.
    pub(crate) proc_stat_s: f64,
}

impl MeterCheck {
    /// What was metered as a share of what was known.
    pub(crate) fn ratio(&self) -> f64 {
        self.metered_s / self.known_s
    }

    /// Whether the meter may be trusted.
    pub(crate) fn holds(&self) -> bool {
        (self.ratio() - 1.0).abs() <= TOLERANCE
    }
}

/// CPU seconds per second that the machine burns on its own.
///
/// Errors when the meter cannot be read.
pub(crate) fn background(meter: &Meter, window: Duration) -> Result<f64> {
    let rest = || {
        std::thread::sleep(window);
        Ok(())
    };
    let ((), usage) = meter.over(rest)?;
    Ok(usage.busy_s / usage.elapsed_s)
}

/// Runs both known loads under `meter`.
///
/// Errors when the meter or a clock cannot be read.
pub(crate) fn run(meter: &Meter) -> Result<Vec<MeterCheck>> {
    [KnownLoad::Continuous, KnownLoad::Bursts]
        .into_iter()
        .map(|load| check(meter, load))
        .collect()
}

fn check(meter: &Meter, load: KnownLoad) -> Result<MeterCheck> {
    let before = background(meter, CHECK_DURATION / 4)?;
    let (known_s, usage) = meter.over(|| on_own_thread(load))?;
    let after = background(meter, CHECK_DURATION / 4)?;
    Ok(judged(load, known_s, &usage, before.midpoint(after)))
}

/// A thread of its own has a CPU clock and a timer slack of its own.
fn on_own_thread(load: KnownLoad) -> Result<f64> {
    let burnt = std::thread::scope(|scope| scope.spawn(|| burn(load)).join());
    burnt.map_err(|_| anyhow!("the known load panicked"))?
}

fn judged(load: KnownLoad, known_s: f64, usage: &Usage, background: f64) -> MeterCheck {
    MeterCheck {
        load,
        known_s,
        metered_s: usage.busy_s - background * usage.elapsed_s,
        proc_stat_s: usage.stat_busy_s,
    }
}

/// Burns CPU in the shape of `load`; returns the seconds burnt.
fn burn(load: KnownLoad) -> Result<f64> {
    let end = Instant::now() + CHECK_DURATION;
    let start = thread_cpu();
    match load {
        KnownLoad::Continuous => while Instant::now() < end {},
        KnownLoad::Bursts => burst_until(end)?,
    }
    Ok((thread_cpu() - start).as_secs_f64())
}

fn burst_until(end: Instant) -> Result<()> {
    set_current_timer_slack(std::num::NonZeroU64::new(1)).context("setting the timer slack")?;
    let mut due = monotonic();
    while Instant::now() < end {
        due += BURST_INTERVAL;
        let at = Timespec::try_from(due).context("a due time beyond the clock")?;
        clock_nanosleep_absolute(SleepClock::Monotonic, &at).context("sleeping until due")?;
        let enough = thread_cpu() + BURST;
        while thread_cpu() < enough {}
    }
    Ok(())
}

fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn monotonic() -> Duration {
    clock(ClockId::Monotonic)
}

fn clock(id: ClockId) -> Duration {
    // The kernel never hands out a negative time for these two clocks.
    Duration::try_from(clock_gettime(id)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        elapsed_s: 2.0,
        busy_s: 1.1,
        stolen_s: 0.0,
        stat_busy_s: 0.9,
    };

    #[test]
    fn what_the_machine_does_on_its_own_is_taken_off() {
        let check = judged(KnownLoad::Bursts, 1.0, &USAGE, 0.05);
        assert!((check.ratio() - 1.0).abs() < 1e-9, "{check:?}");
        assert!(check.holds());
    }

    #[test]
    fn a_meter_that_misses_a_tenth_does_not_hold() {
        assert!(!judged(KnownLoad::Bursts, 1.2, &USAGE, 0.0).holds());
        assert!(!judged(KnownLoad::Bursts, 1.0, &USAGE, 0.0).holds());
    }
}
