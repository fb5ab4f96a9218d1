//! What a test is waiting for: a list that everything which can block enters itself into, so that
//! the overall deadline can say what did not happen, and free what is stuck.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

type Rescue = Box<dyn FnOnce() + Send>;

/// The list, shared by everything a test starts.
#[derive(Clone, Default)]
pub struct Watch {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    next: u64,
    waits: BTreeMap<u64, Wait>,
    rescues: Vec<Rescue>,
}

struct Wait {
    what: String,
    progress: Arc<AtomicU64>,
    since: Instant,
}

/// One entry, until it is dropped.
pub struct Waiting {
    watch: Watch,
    key: u64,
    progress: Arc<AtomicU64>,
}

impl Watch {
    /// Enters `what` into the list.
    pub fn waiting(&self, what: impl Into<String>) -> Waiting {
        let progress = Arc::new(AtomicU64::new(0));
        let wait = Wait {
            what: what.into(),
            progress: Arc::clone(&progress),
            since: Instant::now(),
        };
        let key = self.with(|entries| {
            entries.next += 1;
            entries.waits.insert(entries.next, wait);
            entries.next
        });
        Waiting {
            watch: self.clone(),
            key,
            progress,
        }
    }

    /// Registers what frees a stuck test, such as killing its gateway.
    pub fn on_timeout(&self, rescue: impl FnOnce() + Send + 'static) {
        self.with(|entries| entries.rescues.push(Box::new(rescue)));
    }

    /// Everything that is being waited for, one line each, the oldest first.
    pub fn report(&self) -> String {
        self.with(|entries| {
            let mut report = String::new();
            for Wait {
                what,
                progress,
                since,
            } in entries.waits.values()
            {
                let seconds = since.elapsed().as_secs();
                let at = progress.load(Ordering::Relaxed);
                // Writing to a String cannot fail.
                let _infallible = write!(report, "\n  {what} (at {at}, for {seconds} s)");
            }
            if report.is_empty() {
                report.push_str("\n  nothing that is watched");
            }
            report
        })
    }

    /// Frees what is stuck.
    pub fn rescue(&self) {
        for rescue in self.with(|entries| std::mem::take(&mut entries.rescues)) {
            rescue();
        }
    }

    fn with<T>(&self, use_entries: impl FnOnce(&mut Entries) -> T) -> T {
        // A panic of one task must not hide what the others wait for.
        use_entries(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Waiting {
    /// Notes how far it has come, in bytes or repetitions.
    pub fn at(&self, progress: u64) {
        self.progress.store(progress, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.watch.with(|entries| entries.waits.remove(&self.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_what_is_open_and_how_far_it_is() {
        let watch = Watch::default();
        let reading = watch.waiting("upstream: reading 20 bytes");
        let done = watch.waiting("downstream: sending");
        reading.at(12);
        drop(done);
        let report = watch.report();
        assert!(
            report.contains("upstream: reading 20 bytes (at 12"),
            "{report}"
        );
        assert!(!report.contains("sending"), "{report}");
    }

    #[test]
    fn rescues_run_once() {
        let watch = Watch::default();
        let freed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&freed);
        watch.on_timeout(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        watch.rescue();
        watch.rescue();
        assert_eq!(freed.load(Ordering::Relaxed), 1);
    }
}
