//! Pipes for splice(2), pooled: a flow borrows one only while it has bytes under way.

use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

/// Empty pipes kept for the next flow. Stalled flows hold theirs, so few are ever spare.
const SPARE: usize = 64;

/// A pipe; whoever holds it knows how many bytes are in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
}

/// One worker's spare pipes.
#[derive(Debug, Default)]
pub(super) struct PipePool(Vec<Pipe>);

impl PipePool {
    /// An empty pipe, or `None` when the descriptor limit is reached; the flow copies then.
    pub(super) fn take(&mut self) -> Option<Pipe> {
        self.0.pop().or_else(|| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            Some(Pipe { read, write })
        })
    }

    /// Takes back an **empty** pipe.
    pub(super) fn give_back(&mut self, pipe: Pipe) {
        if self.0.len() < SPARE {
            self.0.push(pipe);
        }
    }
}
