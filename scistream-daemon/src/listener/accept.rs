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

use super::admission::{Admission, Admitted};
use super::bind::Listener;
use super::connection::Connection;
use super::dial::{Prepared, Refusal, RefusalReason};
use super::{AcceptedFrom, Aim, Route};
use crate::sys;
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
    aim: Aim,
    route: Arc<Route>,
    /// A socket to dial with, made before a connection is accepted.
    prepared: Option<Prepared>,
}

/// A connection's places, in its session and in the gateway.
pub(super) struct Places {
    _of_session: Admitted,
    _of_gateway: Admitted,
}

/// Room for a connection, which is not there yet.
struct Room {
    of_session: OwnedSemaphorePermit,
    of_gateway: OwnedSemaphorePermit,
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
    pub(super) fn new(listener: Listener, aim: Aim, route: Arc<Route>) -> io::Result<Self> {
        let Listener { socket, address } = listener;
        Ok(Self {
            socket: Watched::new(socket.into(), Interest::READABLE)?,
            lane: Lane {
                address,
                aim,
                route,
                prepared: None,
            },
        })
    }

    /// Accepts until the task is stopped, once there are targets.
    pub(super) async fn run(mut self) {
        if self.lane.aim.wait_for(Option::is_some).await.is_err() {
            return;
        }
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
        let Some(room) = self.room(listener).await else {
            return ControlFlow::Break(());
        };
        let prepared = match self.prepare() {
            Ok(prepared) => prepared,
            Err(_refused) if !has_backlog(listener) => {
                self.caught_up();
                return ControlFlow::Break(());
            }
            Err(error) => {
                drop(room);
                let admission = &self.route.gateway.admission;
                admission.wait_for_resources(&error.source).await;
                return ControlFlow::Continue(());
            }
        };
        match accept(listener) {
            Ok((downstream, peer)) => {
                self.begin(downstream, peer, prepared, room);
                ControlFlow::Continue(())
            }
            Err(errno) => {
                self.prepared = Some(prepared);
                drop(room);
                self.after_failure(errno).await
            }
        }
    }

    /// A socket for the targets of now.
    fn prepare(&mut self) -> Result<Prepared, sys::Error> {
        let targets = self.aim.borrow().clone();
        let Some(targets) = targets else {
            let none = io::Error::new(io::ErrorKind::AddrNotAvailable, "there is no target");
            return Err(sys::Error::new("resolve", none));
        };
        match self.prepared.take() {
            Some(prepared) if Arc::ptr_eq(&prepared.targets, &targets) => Ok(prepared),
            Some(_) | None => self.route.dialer.prepare(&targets),
        }
    }

    fn begin(&mut self, downstream: TcpStream, peer: SocketAddr, prepared: Prepared, room: Room) {
        let from = AcceptedFrom {
            downstream: peer,
            listen: self.address,
        };
        if !self.route.lets_in(peer.ip()) {
            self.prepared = Some(prepared);
            // Closing it is a reset, see `SocketOptions`.
            drop(downstream);
            let refusal = Refusal::without_attempts(RefusalReason::SourceNotAllowed);
            self.route.gateway.log.refused(from, &refusal);
            return;
        }
        let places = Places {
            _of_session: self.route.admission.admit(room.of_session),
            _of_gateway: self.route.gateway.admission.admit(room.of_gateway),
        };
        // Here, not in the connection's own task: tasks run in no order.
        let begun = self.route.dialer.begin(prepared);
        let connection = Connection::new(downstream, from, begun, places);
        tokio::spawn(connection.serve(Arc::clone(&self.route)));
    }

    /// Room for one more connection, waited for only while there is one; `None` when there is not.
    async fn room(&self, listener: &OwnedFd) -> Option<Room> {
        let of_session = self.room_in(&self.route.admission, listener).await?;
        let of_gateway = self
            .room_in(&self.route.gateway.admission, listener)
            .await?;
        Some(Room {
            of_session,
            of_gateway,
        })
    }

    async fn room_in(
        &self,
        admission: &Arc<Admission>,
        listener: &OwnedFd,
    ) -> Option<OwnedSemaphorePermit> {
        if let Some(permit) = admission.room_now() {
            return Some(permit);
        }
        if has_backlog(listener) {
            return admission.room().await;
        }
        self.caught_up();
        None
    }

    fn caught_up(&self) {
        self.route.admission.caught_up();
        self.route.gateway.admission.caught_up();
    }

    async fn after_failure(&self, errno: Errno) -> ControlFlow<()> {
        match AcceptFailure::of(errno) {
            AcceptFailure::Empty => {
                self.caught_up();
                return ControlFlow::Break(());
            }
            AcceptFailure::Exhausted => {
                let admission = &self.route.gateway.admission;
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
