//! How many cores were in use, without disturbing whoever uses them.
//!
//! ```text
//!   busy = cores × elapsed − idle
//! ```
//!
//! The busy columns of `/proc/stat` are sampled by the tick and miss what timers start; the idle
//! ones are not: a kernel with `CONFIG_NO_HZ` times every idle spell. They come in hundredths of a
//! second per core, which is fine for "under 60 %" and too coarse for a cost: that is the
//! [meter](super::meter)'s. Unlike its soakers this clock lets cores sleep, so it can run while
//! speed is measured.

use std::time::Instant;

use anyhow::{Context as _, Result};

/// Clock ticks per second in `/proc/stat` (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// A reading; [`Reading::since`] compares two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    at: Instant,
    idle_ticks: u64,
    switches: u64,
    cores: usize,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spell {
    /// The share of all cores in use, 0 to 1.
    pub(super) load: f64,
    /// Context switches of all cores.
    pub(super) switches: u64,
    /// Seconds.
    pub(super) elapsed: f64,
}

impl Reading {
    /// Reads the clock.
    ///
    /// Errors when `/proc/stat` cannot be read.
    pub(super) fn now() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let at = Instant::now();
        let (cores, idle_ticks, switches) =
            parse(&text).context("/proc/stat does not list idle times of cores")?;
        Ok(Self {
            at,
            idle_ticks,
            switches,
            cores,
        })
    }

    /// What happened since this reading.
    ///
    /// Errors as [`Reading::now`].
    pub(super) fn since(self) -> Result<Spell> {
        let now = Self::now()?;
        let elapsed = (now.at - self.at).as_secs_f64();
        let idle = now.idle_ticks.saturating_sub(self.idle_ticks) as f64 / TICKS_PER_SECOND;
        let load = 1.0 - idle / (elapsed * self.cores as f64).max(1e-9);
        Ok(Spell {
            load: load.clamp(0.0, 1.0),
            switches: now.switches.saturating_sub(self.switches),
            elapsed,
        })
    }
}

/// Cores, idle ticks of all of them, context switches.
fn parse(text: &str) -> Option<(usize, u64, u64)> {
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    let cores = text.lines().filter(is_core).count();
    let all = text.lines().find(|line| line.starts_with("cpu "))?;
    // user, nice, system, idle, iowait: waiting for a disk is idle, too.
    let field = |at: usize| all.split_ascii_whitespace().nth(at)?.parse::<u64>().ok();
    let switches = text.lines().find_map(|line| line.strip_prefix("ctxt "))?;
    let idle = field(4)? + field(5)?;
    (cores > 0).then_some((cores, idle, switches.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_times_and_switches_are_read() {
        let text = "cpu  1 2 3 40 5 6 7 0 0 0\ncpu0 0 1 2 20 2 3 4 0\ncpu1 1 1 1 20 3 3 3 0\nintr 9 1\nctxt 77\n";
        assert_eq!(parse(text), Some((2, 45, 77)));
        assert_eq!(parse("cpu  1 2 3 4 5\nctxt 7\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_load_is_a_share_of_all_cores() {
        let spell = Reading::now().unwrap().since().unwrap();
        assert!((0.0..=1.0).contains(&spell.load), "{spell:?}");
    }
}
