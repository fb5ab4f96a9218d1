//! Buffers that flows share: taken when bytes arrive, given back when they are written.

use std::sync::{Mutex, PoisonError};

/// Bytes read at most at once.
pub(super) const BUFFER_SIZE: usize = 256 << 10;

/// Buffers kept for reuse; what busier moments add is freed again.
const KEPT: usize = 32;

/// Idle buffers.
#[derive(Debug, Default)]
pub(super) struct BufferPool {
    idle: Mutex<Vec<Box<[u8]>>>,
    #[cfg(test)]
    made: std::sync::atomic::AtomicUsize,
}

/// A buffer and the part of it that is read and not written yet.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: &'a BufferPool,
}

impl BufferPool {
    /// An empty chunk.
    pub(super) fn take(&self) -> Chunk<'_> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let make = || {
            #[cfg(test)]
            self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            vec![0; BUFFER_SIZE].into_boxed_slice()
        };
        Chunk {
            bytes: idle.unwrap_or_else(make),
            start: 0,
            end: 0,
            pool: self,
        }
    }
}

impl Chunk<'_> {
    /// Whether everything read is written.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read into; what it held before is gone.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The first `length` bytes of the room were read.
    pub(super) fn filled(&mut self, length: usize) {
        self.start = 0;
        self.end = length;
    }

    /// What is to be written.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first `length` bytes of what is pending were written.
    pub(super) fn written(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
    }
}

impl Drop for Chunk<'_> {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut idle = self
            .pool
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(bytes);
        }
    }
}

#[cfg(test)]
impl BufferPool {
    /// How many buffers nobody holds.
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().unwrap().len()
    }

    /// How many buffers were ever made; none was freed while few are in use.
    pub(super) fn made(&self) -> usize {
        self.made.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_gives_out_what_was_filled_less_what_was_written() {
        let pool = BufferPool::default();
        let mut chunk = pool.take();
        assert!(chunk.is_empty());
        chunk.room()[..5].copy_from_slice(b"abcde");
        chunk.filled(5);
        chunk.written(2);
        assert_eq!(chunk.pending(), b"cde");
        chunk.written(3);
        assert!(chunk.is_empty());
    }

    #[test]
    fn buffers_come_back_and_no_more_than_a_few_are_kept() {
        let pool = BufferPool::default();
        let chunks: Vec<_> = (0..KEPT + 3).map(|_| pool.take()).collect();
        drop(chunks);
        assert_eq!(pool.idle(), KEPT);
        let chunk = pool.take();
        assert_eq!(pool.idle(), KEPT - 1);
        drop(chunk);
    }
}
