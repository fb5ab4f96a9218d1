//! One direction of the line at work: a thread that reads packets from one device, asks the
//! [`Line`], and writes them to the other device when they are due.
//!
//! ```text
//!   device ──read──► Line::admit ──► Store, by due time ──write──► device
//!                        │
//!                        └──► Drops
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::counters::{Counters, add};
use super::ending::Ending;
use super::line::{Fate, Line};
use super::packet::{Shape, VIRTIO_HEADER};
use super::split;
use super::store::{Slot, Store};
use crate::clock;

/// The largest packet a TUN device hands out, bytes: 64 KiB of IP behind the virtio header.
const MOST: usize = 65_536 + VIRTIO_HEADER;

/// Packets read before those that have become due are looked at again.
const BATCH: usize = 16;

/// A real line waits for no CPU. As far as the scheduler can, neither does this one.
const PRIORITY: i32 = -15;

/// One direction.
pub(super) struct Carrier {
    from: Arc<OwnedFd>,
    to: Arc<OwnedFd>,
    ending: Arc<Ending>,
    line: Line,
    store: Store,
    counters: Arc<Counters>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    admitted: u64,
}

/// A packet under way. The order of arrival breaks ties.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    due: u64,
    serial: u64,
    slot: Slot,
}

impl Carrier {
    pub(super) fn new(
        [from, to]: [&Arc<OwnedFd>; 2],
        ending: &Arc<Ending>,
        line: Line,
        store: Store,
    ) -> Self {
        Self {
            from: Arc::clone(from),
            to: Arc::clone(to),
            ending: Arc::clone(ending),
            line,
            store,
            counters: Arc::default(),
            waiting: BinaryHeap::new(),
            admitted: 0,
        }
    }

    /// Where it counts, for those who look on.
    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Carries until the end is announced.
    ///
    /// Errors when the device it reads from fails.
    pub(super) fn run(mut self) -> Result<()> {
        prepare_thread()?;
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.counters.thread.store(thread.cast_unsigned(), Relaxed);
        while !self.ending.is_announced() {
            self.deliver();
            if !self.collect()? {
                self.wait()?;
            }
        }
        Ok(())
    }

    /// Hands on what is due.
    fn deliver(&mut self) {
        while let Some(Reverse(first)) = self.waiting.peek() {
            let now = clock::now();
            let Waiting {
                due,
                serial: _,
                slot,
            } = *first;
            if due > now {
                return;
            }
            self.waiting.pop();
            self.hand_on(slot, now - due);
        }
    }

    fn hand_on(&mut self, slot: Slot, late: u64) {
        let counters = &self.counters;
        let bytes = slot.length() - VIRTIO_HEADER;
        match rustix::io::write(&*self.to, self.store.bytes(slot)) {
            Ok(_) => {
                add(&counters.delivered, 1);
                add(&counters.delivered_bytes, bytes);
                counters.late_ns.fetch_add(late, Relaxed);
                counters.most_late_ns.fetch_max(late, Relaxed);
            }
            // The other side has no memory, is down, or finds the packet wrong.
            Err(_) => add(&counters.refused, 1),
        }
        counters.queued.fetch_sub(1, Relaxed);
        counters.queued_bytes.fetch_sub(bytes as u64, Relaxed);
        self.store.release(slot);
    }

    /// Reads what has come, a batch at most; answers whether there may be more at once.
    fn collect(&mut self) -> Result<bool> {
        for _ in 0..BATCH {
            let Some(room) = self.store.room(MOST) else {
                return self.discard();
            };
            match rustix::io::read(&*self.from, room) {
                Ok(length) if length > VIRTIO_HEADER => self.take(length),
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("reading from the line's device"),
            }
        }
        Ok(true)
    }

    /// Without memory a packet is still read, and dropped: waiting in the device it would be
    /// delayed by more than the line's delay, and nobody would know.
    fn discard(&mut self) -> Result<bool> {
        let mut scratch = [0; MOST];
        match rustix::io::read(&*self.from, &mut scratch) {
            Ok(_) => add(&self.counters.without_memory, 1),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("reading from the line's device"),
        }
        // Some packet may be due, which frees memory.
        Ok(false)
    }

    /// Decides about the packet of `length` bytes that lies in the latest room.
    fn take(&mut self, length: usize) {
        let now = clock::now();
        let Some(packet) = self.store.room(MOST).and_then(|room| room.get(..length)) else {
            return;
        };
        let shape = Shape::read(packet);
        add(&self.counters.packets, 1);
        add(&self.counters.segments, shape.segments);
        add(&self.counters.bytes, shape.bytes);
        match self.line.admit(&shape, now) {
            Fate::Arrives { due } => {
                let slot = self.store.keep(length);
                self.enqueue(slot, due);
            }
            Fate::Overflows => add(&self.counters.overflowed, 1),
            Fate::Thinned { due, lost } => {
                add(&self.counters.lost_segments, lost.len());
                for piece in split::without(packet, &shape, &lost) {
                    let slot = self.store.put(&piece);
                    self.enqueue(slot, due);
                }
            }
            Fate::Vanishes => add(&self.counters.lost_segments, shape.segments),
        }
    }

    fn enqueue(&mut self, slot: Option<Slot>, due: u64) {
        let counters = &self.counters;
        let Some(slot) = slot else {
            add(&counters.without_memory, 1);
            return;
        };
        let bytes = slot.length() - VIRTIO_HEADER;
        add(&counters.queued, 1);
        let queued = counters.queued_bytes.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        counters.most_queued_bytes.fetch_max(queued, Relaxed);
        counters
            .memory
            .store(self.store.footprint() as u64, Relaxed);
        let serial = self.admitted;
        self.admitted += 1;
        self.waiting.push(Reverse(Waiting { due, serial, slot }));
    }

    /// Sleeps until there is something to read or to hand on, or the end.
    fn wait(&self) -> Result<()> {
        let next = self.waiting.peek().map(|Reverse(first)| first.due);
        let left = next.map(|due| Duration::from_nanos(due.saturating_sub(clock::now())));
        let limit = left.map(Timespec::try_from).transpose();
        let limit = limit.context("a delay beyond the clock")?;
        let mut watched = [
            PollFd::from_borrowed_fd(self.from.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.ending.as_fd(), PollFlags::IN),
        ];
        match rustix::event::poll(&mut watched, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for the line's device"),
        }
    }
}

/// Wakes this thread when it asked to be woken, and before others.
fn prepare_thread() -> Result<()> {
    clock::wake_on_time()?;
    let this = rustix::thread::gettid();
    rustix::process::setpriority_process(Some(this), PRIORITY)
        .context("raising the priority of the line's thread")
}
