//! One direction of an endpoint: the stream, how far it has come, and the bytes in hand.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::traffic::pattern::{Pattern, RunningHash};

/// Bytes per read and write when nothing else is asked for.
pub(super) const BLOCK: usize = 256 << 10;

/// One direction of an endpoint.
pub(super) struct Half {
    pub(super) pattern: Pattern,
    pub(super) hash: RunningHash,
    pub(super) buffer: Vec<u8>,
}

impl Half {
    pub(super) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            hash: RunningHash::default(),
            buffer: Vec::new(),
        }
    }

    /// Makes room for at most `most` bytes, or a block.
    pub(super) fn room(&mut self, most: u64) -> usize {
        let room = usize::try_from(most).unwrap_or(BLOCK).min(BLOCK);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        room
    }

    /// Puts the next bytes of the stream into the buffer: at most `most`, or a block.
    pub(super) fn prepare(&mut self, most: u64) -> usize {
        let part = self.room(most);
        self.pattern
            .fill(self.hash.bytes(), &mut self.buffer[..part]);
        part
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.hash.update(&self.buffer[..bytes]);
    }
}

/// A task that panicked must not hide what the others say.
pub(super) fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap_or_else(PoisonError::into_inner)
}
