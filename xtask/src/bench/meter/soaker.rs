//! One core's soaker: a thread that counts the time nobody else wanted.
//!
//! ```text
//!   parked ──set_soaking(true)──► soaking ──set_soaking(false)──► parked ──Drop──► ended
//! ```

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::thread::CpuSet;

use crate::bench::sys;

/// Clock readings taken to learn the loop's own pace.
const CALIBRATION_READINGS: usize = 20_000;

/// An interruption is a gap this many times longer than the loop's own pace ...
const PACES_PER_INTERRUPTION: u64 = 8;

/// ... and longer than this, so that a cache miss does not count as one. Shorter than the entry
/// and exit of any interrupt.
const SHORTEST_INTERRUPTION_NS: u64 = 200;

const PARKED: u8 = 0;
const SOAKING: u8 = 1;
const ENDED: u8 = 2;

/// The shared words, alone on their cache line: the soaker writes millions of times a second.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shared {
    soaked_ns: AtomicU64,
    phase: AtomicU8,
}

/// A soaker, parked at first; ends when dropped.
#[derive(Debug)]
pub(super) struct Soaker {
    shared: Arc<Shared>,
    threshold_ns: u64,
    thread: Option<JoinHandle<()>>,
}

impl Soaker {
    /// Starts the soaker of `core` and waits until it is calibrated.
    ///
    /// Errors when the thread cannot be pinned or demoted.
    pub(super) fn start(core: usize) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (ready, calibrated) = mpsc::sync_channel(1);
        let of_thread = Arc::clone(&shared);
        let work = move || {
            let threshold_ns = settle(core).map(|()| calibrate());
            let settled = *threshold_ns.as_ref().unwrap_or(&0);
            if ready.send(threshold_ns).is_ok() {
                live(&of_thread, settled);
            }
        };
        let thread = std::thread::Builder::new()
            .name(format!("soak-{core}"))
            .spawn(work)
            .context("starting a soaker thread")?;
        let mut soaker = Self {
            shared,
            threshold_ns: 0,
            thread: Some(thread),
        };
        soaker.threshold_ns = calibrated.recv().context("a soaker died at its start")??;
        Ok(soaker)
    }

    /// Lets it soak, or parks it.
    pub(super) fn set_soaking(&self, soaking: bool) {
        self.enter(if soaking { SOAKING } else { PARKED });
    }

    /// Idle time of the core while soaking, so far, in nanoseconds.
    pub(super) fn soaked_ns(&self) -> u64 {
        self.shared.soaked_ns.load(Ordering::Relaxed)
    }

    /// The longest gap that counts as idle, in nanoseconds.
    pub(super) fn threshold_ns(&self) -> u64 {
        self.threshold_ns
    }

    fn enter(&self, phase: u8) {
        self.shared.phase.store(phase, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Soaker {
    fn drop(&mut self) {
        self.enter(ENDED);
        if let Some(thread) = self.thread.take() {
            // A soaker that panicked has told its story on stderr.
            drop(thread.join());
        }
    }
}

fn settle(core: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    rustix::thread::sched_setaffinity(None, &only)
        .with_context(|| format!("pinning a soaker to core {core}"))?;
    // Within its class a soaker needs no nice value; it tells the soakers' ticks from the load's.
    rustix::process::setpriority_process(None, 19).context("lowering a soaker's nice value")?;
    sys::run_only_when_idle().context("entering SCHED_IDLE")
}

/// The longest idle gap of this core: some multiple of the loop's median pace, which a few
/// interruptions during the calibration do not move.
fn calibrate() -> u64 {
    let mut gaps: Vec<u64> = Vec::with_capacity(CALIBRATION_READINGS);
    let mut last = Instant::now();
    for _ in 0..CALIBRATION_READINGS {
        let now = Instant::now();
        gaps.push(nanoseconds(now - last));
        last = now;
    }
    gaps.sort_unstable();
    let median = gaps[CALIBRATION_READINGS / 2];
    (median * PACES_PER_INTERRUPTION).max(SHORTEST_INTERRUPTION_NS)
}

fn live(shared: &Shared, threshold_ns: u64) {
    loop {
        match shared.phase.load(Ordering::Acquire) {
            SOAKING => soak(shared, threshold_ns),
            ENDED => return,
            // A spurious wake-up only comes around again.
            _ => std::thread::park(),
        }
    }
}

fn soak(shared: &Shared, threshold_ns: u64) {
    let mut soaked_ns = shared.soaked_ns.load(Ordering::Relaxed);
    let mut last = Instant::now();
    while shared.phase.load(Ordering::Relaxed) == SOAKING {
        let now = Instant::now();
        let gap = nanoseconds(now - last);
        last = now;
        if gap <= threshold_ns {
            soaked_ns += gap;
            shared.soaked_ns.store(soaked_ns, Ordering::Relaxed);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
