//! Descriptors whose readiness tokio watches.
#![expect(
    unsafe_code,
    reason = "registering a bare descriptor with tokio is unsafe"
)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor in tokio's epoll instance, until it is dropped or taken back.
#[derive(Debug)]
pub struct Watched {
    inner: AsyncFd<OwnedFd>,
}

impl Watched {
    /// Registers a descriptor; errors and hang-ups are always watched as well. Must be called within
    /// a runtime.
    ///
    /// # Errors
    /// When epoll refuses it; the descriptor is closed then.
    pub fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        // SAFETY: an OwnedFd keeps its descriptor open and never changes it, and `inner` is private
        // and handed out by shared reference only, so nobody can put another in its place.
        let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
        Ok(Self { inner: registered? })
    }

    /// Waits until one of `interest` is there; the guard clears it once a call said `EAGAIN`.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn ready(&self, interest: Interest) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.inner.ready(interest).await
    }

    /// Takes the descriptor out of the epoll instance.
    pub fn into_inner(self) -> OwnedFd {
        self.inner.into_inner()
    }
}
