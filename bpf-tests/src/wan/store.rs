//! Where packets wait: chunks of memory, filled one after the other, used again last in, first out.
//!
//! ```text
//!   open chunk   ├─ packet ─┼─ packet ─┼────── room ──────┤     read(2) writes into the room
//!   full chunks  given back when their last packet is released, and opened again first
//! ```
//!
//! So a short queue stays within the CPU's caches, a long one takes what it needs up to a limit,
//! and packets may leave in any order; one that stays keeps its chunk.

/// Bytes of one chunk: some sixteen of the largest packets.
const CHUNK: usize = 1 << 20;

/// Memory for packets under way.
#[derive(Debug)]
pub(super) struct Store {
    chunks: Vec<Chunk>,
    free: Vec<usize>,
    open: Option<usize>,
    most_chunks: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: Box<[u8]>,
    used: usize,
    live: usize,
}

/// Where a stored packet is. It is given back by [`Store::release`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Slot {
    chunk: usize,
    offset: usize,
    length: usize,
}

impl Store {
    /// An empty store that will hold `limit` bytes at most, and at least one chunk.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            open: None,
            most_chunks: (limit / CHUNK).max(1),
        }
    }

    /// Room for a packet of `most` bytes, at most a chunk; `None` when the limit is reached.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        let fits = |chunk: &Chunk| CHUNK - chunk.used >= most;
        if !self.open.is_some_and(|open| fits(&self.chunks[open])) {
            self.open_another()?;
        }
        let chunk = &mut self.chunks[self.open?];
        chunk.bytes.get_mut(chunk.used..chunk.used + most)
    }

    /// Keeps the first `length` bytes of the latest room.
    pub(super) fn keep(&mut self, length: usize) -> Option<Slot> {
        let open = self.open?;
        let chunk = &mut self.chunks[open];
        let slot = Slot {
            chunk: open,
            offset: chunk.used,
            length,
        };
        chunk.used += length;
        chunk.live += 1;
        Some(slot)
    }

    /// Stores a copy; `None` when the limit is reached.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Option<Slot> {
        self.room(bytes.len())?.copy_from_slice(bytes);
        self.keep(bytes.len())
    }

    /// The bytes of a stored packet.
    pub(super) fn bytes(&self, slot: Slot) -> &[u8] {
        &self.chunks[slot.chunk].bytes[slot.offset..slot.offset + slot.length]
    }

    /// Gives a packet's memory back.
    pub(super) fn release(&mut self, slot: Slot) {
        let chunk = &mut self.chunks[slot.chunk];
        chunk.live -= 1;
        if chunk.live > 0 {
            return;
        }
        chunk.used = 0;
        if self.open != Some(slot.chunk) {
            self.free.push(slot.chunk);
        }
    }

    /// Bytes of memory it has taken, which it keeps.
    pub(super) fn footprint(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    fn open_another(&mut self) -> Option<()> {
        let next = match self.free.pop() {
            Some(chunk) => chunk,
            None if self.chunks.len() < self.most_chunks => {
                self.chunks.push(Chunk {
                    bytes: vec![0; CHUNK].into_boxed_slice(),
                    used: 0,
                    live: 0,
                });
                self.chunks.len() - 1
            }
            None => return None,
        };
        // A chunk that was closed while nothing of it was stored would be lost to everyone.
        if let Some(closed) = self.open.filter(|&open| self.chunks[open].live == 0) {
            self.chunks[closed].used = 0;
            self.free.push(closed);
        }
        self.open = Some(next);
        Some(())
    }
}

impl Slot {
    /// Bytes of the packet.
    pub(super) fn length(self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Draw;

    #[test]
    fn a_short_queue_stays_in_one_chunk() {
        let mut store = Store::new(64 * CHUNK);
        for round in 0..10_000_usize {
            let slot = store.put(&[round as u8; 1500]).unwrap();
            assert_eq!(store.bytes(slot), [round as u8; 1500]);
            store.release(slot);
        }
        assert_eq!(store.footprint(), CHUNK);
    }

    #[test]
    fn the_limit_holds_and_releases_make_room_again() {
        let mut store = Store::new(3 * CHUNK);
        let packet = [7; 65_536];
        let slots: Vec<Slot> = std::iter::from_fn(|| store.put(&packet)).collect();
        assert_eq!(slots.len(), 48);
        assert_eq!(store.footprint(), 3 * CHUNK);
        for slot in slots {
            store.release(slot);
        }
        assert_eq!(std::iter::from_fn(|| store.put(&packet)).count(), 48);
    }

    #[test]
    fn packets_may_leave_in_any_order() {
        let mut store = Store::new(64 * CHUNK);
        let mut draw = Draw::new(3);
        let mut held: Vec<(Slot, u8)> = Vec::new();
        for round in 0..50_000_u32 {
            let mark = round as u8;
            let length = draw.within(1..65_000) as usize;
            let slot = store.put(&vec![mark; length]).expect("room");
            assert_eq!(slot.length(), length);
            held.push((slot, mark));
            while held.len() > 40 {
                let at = draw.within(0..held.len() as u64) as usize;
                let (slot, mark) = held.swap_remove(at);
                assert!(store.bytes(slot).iter().all(|&byte| byte == mark));
                store.release(slot);
            }
        }
    }
}
