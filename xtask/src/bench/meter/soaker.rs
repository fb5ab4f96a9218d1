//! One core's soaker: a thread that counts the time nobody else wanted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use rustix::thread::CpuSet;

use crate::bench::sys;

/// Clock readings taken to learn the loop's own pace.
const CALIBRATION_READINGS: usize = 20_000;

/// An interruption is a gap this many times longer than the loop's own pace ...
const PACES_PER_INTERRUPTION: u64 = 8;

/// ... and longer than this, so that a cache miss does not count as one. Shorter than the entry
/// and exit of any interrupt.
const SHORTEST_INTERRUPTION_NS: u64 = 200;

/// The shared words, alone on their cache line: the soaker writes millions of times a second.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shared {
    soaked_ns: AtomicU64,
    stop: AtomicBool,
}

/// A running soaker; stops when dropped.
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
        let thread = std::thread::Builder::new()
            .name(format!("soak-{core}"))
            .spawn(move || {
                let threshold_ns = match settle(core) {
                    Ok(()) => calibrate(),
                    Err(error) => {
                        ready.send(Err(error)).ok();
                        return;
                    }
                };
                if ready.send(Ok(threshold_ns)).is_ok() {
                    soak(&of_thread, threshold_ns);
                }
            })
            .context("starting a soaker thread")?;
        let threshold_ns = calibrated
            .recv()
            .context("a soaker thread died at its start")??;
        Ok(Self {
            shared,
            threshold_ns,
            thread: Some(thread),
        })
    }

    /// Idle time of the core so far, in nanoseconds.
    pub(super) fn soaked_ns(&self) -> u64 {
        self.shared.soaked_ns.load(Ordering::Relaxed)
    }

    /// The longest gap that counts as idle, in nanoseconds.
    pub(super) fn threshold_ns(&self) -> u64 {
        self.threshold_ns
    }
}

impl Drop for Soaker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panicked soaker has already told its story on stderr.
            thread.join().ok();
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

fn soak(shared: &Shared, threshold_ns: u64) {
    let mut soaked_ns = 0;
    let mut last = Instant::now();
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let gap = nanoseconds(now - last);
        last = now;
        if gap <= threshold_ns {
            soaked_ns += gap;
            shared.soaked_ns.store(soaked_ns, Ordering::Relaxed);
        }
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
