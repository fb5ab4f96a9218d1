//! How the threads of a line learn that it is over: at once when they sleep, soon when they work.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Announced once; never taken back.
#[derive(Debug)]
pub(super) struct Ending {
    announced: AtomicBool,
    event: OwnedFd,
}

impl Ending {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            announced: AtomicBool::new(false),
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Tells everyone who asks or sleeps.
    pub(super) fn announce(&self) -> io::Result<()> {
        self.announced.store(true, Ordering::Relaxed);
        rustix::io::write(&self.event, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    pub(super) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Relaxed)
    }
}

/// Readable from the announcement on: nobody reads it.
impl AsFd for Ending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
