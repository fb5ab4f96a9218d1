//! Pipes for splice(2), pooled: a flow borrows one only while it has bytes under way.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// What a wide pipe holds: the most that a process without CAP_SYS_RESOURCE may ask for
/// (`fs.pipe-max-size`). One fill then takes all that the ingress has, and the peers on both sides
/// work in fewer, longer turns: one stream gained a third over the kernel's 64 KiB (ADR 9). The
/// pages come from the socket; an empty pipe of this size costs 10 KiB of slots.
pub const WIDE_PIPE_BYTES: usize = 1 << 20;

/// Empty pipes kept for the next flow. Stalled flows hold theirs, so few are ever spare.
const SPARE: usize = 64;

/// A pipe; whoever holds it knows how many bytes are in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    /// Held by the wide ones: the pool counts its clones.
    _wide: Option<Arc<()>>,
}

/// One worker's spare pipes.
#[derive(Debug)]
pub(super) struct PipePool {
    spare: Vec<Pipe>,
    /// Has a clone in each wide pipe there is.
    wide: Arc<()>,
    wide_most: usize,
}

impl PipePool {
    /// A pool that makes up to `wide_most` wide pipes, and small ones beyond.
    pub(super) fn new(wide_most: usize) -> Self {
        Self {
            spare: Vec::new(),
            wide: Arc::new(()),
            wide_most,
        }
    }

    /// An empty pipe, or `None` when the descriptor limit is reached; the flow copies then.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        self.spare.pop().or_else(|| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            let wide = Arc::strong_count(&self.wide) <= self.wide_most;
            if wide {
                // Refused where fs.pipe-max-size is low: a small pipe serves too.
                let _granted = fcntl_setpipe_size(&write, WIDE_PIPE_BYTES);
            }
            Some(Pipe {
                read,
                write,
                _wide: wide.then(|| Arc::clone(&self.wide)),
            })
        })
    }

    /// Takes back an **empty** pipe.
    pub(super) fn give_back(&mut self, pipe: Pipe) {
        if self.spare.len() < SPARE {
            self.spare.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::fcntl_getpipe_size;

    use super::*;

    #[test]
    fn wide_pipes_are_counted_while_they_live() {
        let mut pool = PipePool::new(1);
        let size = |pipe: &Pipe| fcntl_getpipe_size(&pipe.write).unwrap();
        let wide = pool.take().unwrap();
        let small = pool.take().unwrap();
        assert!(size(&wide) == WIDE_PIPE_BYTES && size(&small) < WIDE_PIPE_BYTES);
        drop(wide);
        assert_eq!(size(&pool.take().unwrap()), WIDE_PIPE_BYTES);
    }
}
