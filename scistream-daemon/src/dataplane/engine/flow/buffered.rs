//! Bytes on their way through a buffer: recv(2) in, send(2) out.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::super::endpoint::Endpoint;
use super::{Fault, Fill};

/// Size of a buffer: what one receive call takes at most.
const BUFFER_BYTES: usize = 64 * 1024;
/// Buffers kept for the next flow.
const SPARE: usize = 16;

/// One worker's spare buffers.
#[derive(Debug, Default)]
pub(in super::super) struct BufferPool(Vec<Box<[u8]>>);

impl BufferPool {
    fn take(&mut self) -> Box<[u8]> {
        self.0
            .pop()
            .unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    fn give_back(&mut self, buffer: Box<[u8]>) {
        if self.0.len() < SPARE {
            self.0.push(buffer);
        }
    }
}

/// A buffer while it has bytes in it: those in `start..end`.
#[derive(Debug, Default)]
pub(super) struct Held {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Fills an empty buffer from the ingress.
    pub(super) fn fill(&mut self, ingress: &Endpoint, pool: &mut BufferPool) -> Fill {
        let mut buffer = pool.take();
        let fill = loop {
            break match recv(ingress, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) => Fill::End,
                Ok((count, _)) => Fill::Bytes(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Fill::Empty,
                Err(_) => Fill::Failed,
            };
        };
        if let Fill::Bytes(count) = fill {
            (self.start, self.end) = (0, count);
            self.buffer = Some(buffer);
        } else {
            pool.give_back(buffer);
        }
        fill
    }

    /// Writes to the egress until nothing is held or there is no room; answers how many bytes.
    pub(super) fn flush(
        &mut self,
        egress: &mut Endpoint,
        pool: &mut BufferPool,
    ) -> Result<u64, Fault> {
        let mut written = 0;
        while let Some(buffer) = &self.buffer {
            let held = buffer.get(self.start..self.end).unwrap_or_default();
            match send(&*egress, held, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.start += count;
                    written += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    egress.writable = false;
                    break;
                }
                Err(_) => return Err(Fault::Egress),
            }
            if self.is_empty()
                && let Some(buffer) = self.buffer.take()
            {
                pool.give_back(buffer);
            }
        }
        Ok(written)
    }
}
