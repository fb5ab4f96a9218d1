//! Bytes on their way through a pipe: splice(2) in, splice(2) out.

use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use super::super::endpoint::Endpoint;
use super::super::pipes::{Pipe, PipePool, WIDE_PIPE_BYTES};
use super::{Fault, Fill};

fn flags() -> SpliceFlags {
    SpliceFlags::MOVE | SpliceFlags::NONBLOCK
}

/// A pipe while it has bytes in it.
#[derive(Debug, Default)]
pub(super) struct Piped {
    pipe: Option<Pipe>,
    bytes: usize,
}

impl Piped {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Fills an empty pipe from the ingress; `None` when no pipe can be had.
    ///
    /// Filling only an empty pipe keeps `EAGAIN` unambiguous: the socket is empty, not the pipe full.
    pub(super) fn fill(&mut self, ingress: &Endpoint, pool: &mut PipePool) -> Option<Fill> {
        let pipe = pool.take()?;
        let fill = loop {
            break match splice(ingress, None, &pipe.write, None, WIDE_PIPE_BYTES, flags()) {
                Ok(0) => Fill::End,
                Ok(count) => Fill::Bytes(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Fill::Empty,
                Err(_) => Fill::Failed,
            };
        };
        if let Fill::Bytes(count) = fill {
            self.bytes = count;
            self.pipe = Some(pipe);
        } else {
            pool.give_back(pipe);
        }
        Some(fill)
    }

    /// Writes to the egress until the pipe is empty or there is no room; answers how many bytes.
    pub(super) fn flush(
        &mut self,
        egress: &mut Endpoint,
        pool: &mut PipePool,
    ) -> Result<u64, Fault> {
        let mut written = 0;
        while let Some(pipe) = &self.pipe {
            match splice(&pipe.read, None, &*egress, None, self.bytes, flags()) {
                Ok(0) => return Err(Fault::Gateway),
                Ok(count) => {
                    self.bytes -= count;
                    written += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    egress.writable = false;
                    break;
                }
                Err(_) => return Err(Fault::Egress),
            }
            if self.bytes == 0
                && let Some(pipe) = self.pipe.take()
            {
                pool.give_back(pipe);
            }
        }
        Ok(written)
    }
}
