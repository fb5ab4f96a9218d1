//! The accept loop of one listener.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::sync::OwnedSemaphorePermit;

use super::bind::Listener;
use super::connection::Connection;
use super::dial::Prepared;
use super::{AcceptedFrom, Gateway};
use crate::sys::watched::Watched;

/// Connections accepted in a row before those accepted get their turn.
const BATCH: u32 = 32;

/// Accepts on one listener.
pub(super) struct Acceptor {
    socket: Watched,
    lane: Lane,
}

/// What accepting needs beside the socket.
struct Lane {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    /// A socket to dial with, made before a connection is accepted.
    prepared: Option<Prepared>,
}

/// What a failed accept means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum AcceptFailure {
    /// The backlog is empty.
    Empty,
    /// The kernel is out of descriptors or memory.
    Exhausted,
    /// This one connection is lost; accept(2) says to treat these as a retry.
    Retry,
}

impl AcceptFailure {
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::AGAIN => Self::Empty,
            Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Self::Exhausted,
            _ => Self::Retry,
        }
    }
}

impl Acceptor {
    pub(super) fn new(listener: Listener, gateway: Arc<Gateway>) -> io::Result<Self> {
        let Listener { socket, address } = listener;
        Ok(Self {
            socket: Watched::new(socket.into(), Interest::READABLE)?,
            lane: Lane {
                address,
                gateway,
                prepared: None,
            },
        })
    }

    /// Accepts until the task is stopped.
    pub(super) async fn run(mut self) {
        loop {
            let mut ready = match self.socket.ready(Interest::READABLE).await {
                Ok(ready) => ready,
                Err(error) => {
                    let listen = self.lane.address;
                    tracing::error!(%listen, %error, "this listener stopped");
                    return;
                }
            };
            for _ in 0..BATCH {
                if self.lane.accept_one(ready.get_inner()).await.is_break() {
                    ready.clear_ready();
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Lane {
    /// Accepts one connection, once there is room for it and a socket to dial with; breaks when the
    /// backlog is empty.
    async fn accept_one(&mut self, listener: &OwnedFd) -> ControlFlow<()> {
        let Some(permit) = self.room(listener).await else {
            return ControlFlow::Break(());
        };
        let admission = &self.gateway.admission;
        let spare = self.prepared.take();
        let prepared = match spare.map_or_else(|| self.gateway.dialer.prepare(), Ok) {
            Ok(prepared) => prepared,
            Err(_refused) if !has_backlog(listener) => {
                admission.caught_up();
                return ControlFlow::Break(());
            }
            Err(error) => {
                drop(permit);
                admission.wait_for_resources(&error.source).await;
                return ControlFlow::Continue(());
            }
        };
        match accept(listener) {
            Ok((downstream, peer)) => {
                let from = AcceptedFrom {
                    downstream: peer,
                    listen: self.address,
                };
                let admitted = admission.admit(permit);
                let connection = Connection::new(downstream, from, prepared, admitted);
                tokio::spawn(connection.serve(Arc::clone(&self.gateway)));
                ControlFlow::Continue(())
            }
            Err(errno) => {
                self.prepared = Some(prepared);
                drop(permit);
                self.after_failure(errno).await
            }
        }
    }

    /// Room for one more connection, waited for only while there is one; `None` when there is not.
    async fn room(&self, listener: &OwnedFd) -> Option<OwnedSemaphorePermit> {
        let admission = &self.gateway.admission;
        if let Some(permit) = admission.room_now() {
            return Some(permit);
        }
        if has_backlog(listener) {
            return admission.room().await;
        }
        admission.caught_up();
        None
    }

    async fn after_failure(&self, errno: Errno) -> ControlFlow<()> {
        match AcceptFailure::of(errno) {
            AcceptFailure::Empty => {
                self.gateway.admission.caught_up();
                return ControlFlow::Break(());
            }
            AcceptFailure::Exhausted => {
                let admission = &self.gateway.admission;
                admission.wait_for_resources(&errno.into()).await;
            }
            AcceptFailure::Retry => {
                tracing::debug!(listen = %self.address, %errno, "a connection was lost in accept");
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a connection waits to be accepted.
fn has_backlog(listener: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// accept4(2): non-blocking, close-on-exec, with the peer's address from the same call.
fn accept(listener: &OwnedFd) -> Result<(TcpStream, SocketAddr), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = rustix::net::acceptfrom_with(listener, flags)?;
    // The peer of a TCP socket has an IP address; one that is gone already may have none.
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(Errno::CONNABORTED)?;
    Ok((TcpStream::from(socket), peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_accept_are_told_apart() {
        for (errno, expected) in [
            (Errno::AGAIN, AcceptFailure::Empty),
            (Errno::MFILE, AcceptFailure::Exhausted),
            (Errno::NFILE, AcceptFailure::Exhausted),
            (Errno::NOBUFS, AcceptFailure::Exhausted),
            (Errno::CONNABORTED, AcceptFailure::Retry),
            (Errno::INTR, AcceptFailure::Retry),
            (Errno::PERM, AcceptFailure::Retry),
        ] {
            assert_eq!(AcceptFailure::of(errno), expected, "{errno}");
        }
    }
}
