//! What the gateways' processes and the whole machine spend, from /proc.
//!
//! A process's figure is exact (the scheduler's run time), but leaves out what the kernel does
//! for it in softirq: a gateway whose bytes are redirected shows next to nothing. The machine's
//! figure is sampled by the tick: good enough to watch, not to compare (see `cargo xtask bench`).

use std::fs;
use std::time::{Duration, Instant};

/// Clock ticks in a second, as /proc counts them on every architecture Linux runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Readings of one moment.
pub(super) struct CpuClock {
    at: Instant,
    processes: Vec<Duration>,
    busy: u64,
    total: u64,
}

/// What was spent between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CpuUse {
    /// Of each process, 1 = one CPU all the time.
    pub(super) processes: Vec<f64>,
    /// Of all CPUs together, 0 to 1.
    pub(super) machine: f64,
}

impl CpuClock {
    /// Reads the clocks of `processes` and of the machine.
    pub(super) fn read(processes: &[u32]) -> Self {
        let spent = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok();
            stat.and_then(|stat| process_time(&stat))
                .unwrap_or_default()
        };
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (busy, total) = machine_ticks(&machine).unwrap_or_default();
        Self {
            at: Instant::now(),
            processes: processes.iter().map(spent).collect(),
            busy,
            total,
        }
    }

    /// What was spent since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> CpuUse {
        let wall = self.at.duration_since(earlier.at).as_secs_f64().max(1e-3);
        let both = self.processes.iter().zip(&earlier.processes);
        let spent = both.map(|(now, before)| now.saturating_sub(*before).as_secs_f64());
        let busy = self.busy.saturating_sub(earlier.busy) as f64;
        let total = self.total.saturating_sub(earlier.total) as f64;
        CpuUse {
            processes: spent.map(|spent| spent / wall).collect(),
            machine: busy / total.max(1.0),
        }
    }
}

/// Time in user and kernel mode of all threads, of /proc/PID/stat.
fn process_time(stat: &str) -> Option<Duration> {
    // The name in parentheses may hold spaces; the first field behind it is the third.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64((user + kernel) / TICKS_PER_SECOND))
}

/// Ticks of all CPUs that were not idle, and all ticks, of /proc/stat.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; the guest's are in user already.
    let counted = ticks.get(..8)?;
    let total: u64 = counted.iter().sum();
    Some((total - counted[3] - counted[4], total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 1 1 0 -1 0 1 2 3 4 150 50 0 0 20 0";
        assert_eq!(process_time(stat), Some(Duration::from_secs(2)));
    }

    #[test]
    fn waiting_for_input_and_output_is_idle() {
        let stat = "cpu  10 0 20 60 5 1 4 0 9 9\ncpu0 1\n";
        assert_eq!(machine_ticks(stat), Some((35, 100)));
    }
}
