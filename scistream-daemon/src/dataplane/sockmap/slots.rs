//! The slots of the shared counter array: which are free, and the lease of one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use scistream_common::{DirectionSlot, limits};

use super::program::Program;
use crate::sys::shared_map::SharedArray;

/// All slots.
pub(super) struct Slots {
    array: SharedArray<DirectionSlot>,
    free: Mutex<FreeList>,
    /// Bytes redirected by directions that have ended.
    retired: AtomicU64,
}

/// A message program may hold a slot for as long as it runs after its direction has ended; for this
/// long a slot is not used again.
const QUARANTINE: Duration = Duration::from_secs(1);

/// Indices from `fresh` on were never used; those given back wait in `returned`, oldest first.
struct FreeList {
    fresh: u32,
    returned: VecDeque<(Instant, u32)>,
}

impl FreeList {
    fn take(&mut self) -> Option<u32> {
        if let Some((since, index)) = self.returned.front().copied()
            && since.elapsed() >= QUARANTINE
        {
            self.returned.pop_front();
            return Some(index);
        }
        let index = (self.fresh < limits::MAX_DIRECTIONS).then_some(self.fresh)?;
        self.fresh += 1;
        Some(index)
    }
}

impl Slots {
    pub(super) fn new(array: SharedArray<DirectionSlot>) -> Self {
        let free = Mutex::new(FreeList {
            fresh: 0,
            returned: VecDeque::new(),
        });
        Self {
            array,
            free,
            retired: AtomicU64::new(0),
        }
    }

    /// Takes a slot and sets it up for a new direction.
    pub(super) fn take(&self, egress_cookie: u64) -> Option<u32> {
        let index = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        if let Err(error) = self.array.reach(index as usize) {
            tracing::warn!(%error, "a sockmap slot cannot be had");
            self.give_back(index);
            return None;
        }
        let slot = self.array.get(index as usize)?;
        for counter in [
            &slot.redirected,
            &slot.passed,
            &slot.write_base,
            &slot.latched,
            &slot.passing,
            &slot.next_seq,
            &slot.egress_address,
            &slot.flips,
            &slot.forwarded,
            &slot.send_base,
        ] {
            counter.store(0);
        }
        slot.egress_cookie.store(egress_cookie);
        slot.generation
            .store(slot.generation.load().wrapping_add(1) & u64::from(u32::MAX));
        Some(index)
    }

    pub(super) fn get(&self, index: u32) -> Option<&DirectionSlot> {
        self.array.get(index as usize)
    }

    pub(super) fn set_send_base(&self, index: u32, sequence: u32) {
        if let Some(slot) = self.get(index) {
            slot.send_base.store(u64::from(sequence));
        }
    }

    pub(super) fn give_back(&self, index: u32) {
        if let Some(slot) = self.array.get(index as usize) {
            self.retired
                .fetch_add(slot.redirected.load(), Ordering::Relaxed);
            slot.redirected.store(0);
        }
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .returned
            .push_back((Instant::now(), index));
    }

    pub(super) fn redirected(&self) -> u64 {
        let used = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh as usize;
        let live: u64 = (0..used)
            .filter_map(|i| self.array.get(i))
            .map(|slot| slot.redirected.load())
            .sum();
        live + self.retired.load(Ordering::Relaxed)
    }
}

/// One direction's slot. Dropping it ends the program's knowledge of the direction, so the sockets
/// must be closed before: a verdict could still run.
pub struct Lease {
    program: Arc<Program>,
    index: u32,
    cookie: u64,
    kind: Kind,
}

/// Which program judges by a slot, and so which map leads it there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The message program, by a local application's cookie.
    Hop,
    /// The verdict, by the ingress socket's cookie.
    Verdict,
}

impl Lease {
    pub(super) fn new(program: Arc<Program>, index: u32, cookie: u64, kind: Kind) -> Self {
        Self {
            program,
            index,
            cookie,
            kind,
        }
    }

    /// Index of the slot, and the use of it that this lease is: what a notice carries.
    pub fn id(&self) -> (u32, u32) {
        (
            self.index,
            self.slot().map_or(0, |slot| slot.generation.load() as u32),
        )
    }

    /// Bytes the verdict redirected.
    pub fn redirected(&self) -> u64 {
        self.slot().map_or(0, |slot| slot.redirected.load())
    }

    /// Bytes the verdict passed.
    pub fn passed(&self) -> u64 {
        self.slot().map_or(0, |slot| slot.passed.load())
    }

    /// Whether the verdict passed bytes that had come before; the direction cannot go on.
    pub fn has_repeated(&self) -> bool {
        self.slot()
            .is_some_and(|slot| slot.passing.load() == DirectionSlot::REPEATED)
    }

    /// How often the verdict went from redirecting to passing.
    pub fn flips(&self) -> u32 {
        self.slot().map_or(0, |slot| slot.flips.load() as u32)
    }

    /// Tells the verdict how many passed bytes are in the egress socket's queue.
    pub fn set_forwarded(&self, bytes: u64) {
        if let Some(slot) = self.slot() {
            slot.forwarded.store(bytes);
        }
    }

    /// The counters of this use of the slot, for others to read.
    pub fn view(&self) -> SlotView {
        let (index, generation) = self.id();
        SlotView {
            program: Arc::clone(&self.program),
            index,
            generation,
        }
    }

    fn slot(&self) -> Option<&DirectionSlot> {
        self.program.slots().get(self.index)
    }
}

/// One use of a slot, for reading. It outlives the lease, and reads nothing then.
pub struct SlotView {
    program: Arc<Program>,
    index: u32,
    generation: u32,
}

impl SlotView {
    /// Bytes the verdict redirected.
    pub fn redirected(&self) -> u64 {
        self.slot().map_or(0, |slot| slot.redirected.load())
    }

    /// Bytes the verdict passed.
    pub fn passed(&self) -> u64 {
        self.slot().map_or(0, |slot| slot.passed.load())
    }

    fn slot(&self) -> Option<&DirectionSlot> {
        let slot = self.program.slots().get(self.index);
        slot.filter(|slot| slot.generation.load() as u32 == self.generation)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.program.retire(self.index, self.cookie, self.kind);
    }
}
