//! One socket of a connection: its readiness as epoll told it, and what its send queue took.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::sys::tcp_info::TcpInfo;
use crate::sys::{Error, sockopt};

/// What is asked for always. Errors and hang-ups are reported unasked.
fn quiet_interest() -> EventFlags {
    EventFlags::RDHUP | EventFlags::ET
}

/// What is asked for while user space reads. Urgent data belongs here: the kernel wakes for
/// received bytes under its name too, so a socket whose bytes the verdict moves must not ask.
fn read_interest() -> EventFlags {
    EventFlags::IN | EventFlags::PRI
}

/// A socket, edge-triggered: a readiness flag stays set until a call has said `EAGAIN`.
#[derive(Debug)]
pub(super) struct Endpoint {
    stream: TcpStream,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer reset, or the kernel gave the connection up. A later `read() == 0` is no FIN then.
    pub(super) failed: bool,
    /// Urgent data came: splice(2) stops before it for ever, so this socket is read by recv(2).
    pub(super) urgent: bool,
    /// The socket is in the map of egress sockets.
    pub(super) is_target: bool,
    /// What [`Self::queued`] would have said at the start.
    base: u64,
    interest: EventFlags,
}

impl Endpoint {
    /// Takes a fresh socket, of which nothing was read or written.
    pub(super) fn new(stream: TcpStream) -> Result<Self, Error> {
        let base = TcpInfo::of(&stream)?.bytes_acked + sockopt::send_queue(&stream)?;
        Ok(Self {
            stream,
            readable: true,
            writable: true,
            failed: false,
            urgent: false,
            is_target: false,
            base,
            interest: read_interest() | EventFlags::OUT | quiet_interest(),
        })
    }

    /// Registers with `epoll`; events carry `token`.
    pub(super) fn register(&self, epoll: &OwnedFd, token: u64) -> rustix::io::Result<()> {
        epoll::add(
            epoll,
            &self.stream,
            EventData::new_u64(token),
            self.interest,
        )
    }

    /// Asks for read and write events only where they are of use: each of them is a wake-up.
    pub(super) fn attend(
        &mut self,
        epoll: &OwnedFd,
        token: u64,
        read: bool,
        write: bool,
    ) -> rustix::io::Result<()> {
        let mut wanted = quiet_interest();
        wanted.set(read_interest(), read);
        wanted.set(EventFlags::OUT, write);
        if wanted == self.interest {
            return Ok(());
        }
        self.interest = wanted;
        epoll::modify(epoll, &self.stream, EventData::new_u64(token), wanted)
    }

    /// Takes over what epoll said.
    pub(super) fn on_event(&mut self, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        self.readable |= flags.intersects(EventFlags::IN | ended);
        self.writable |= flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR);
        self.failed |= flags.contains(EventFlags::ERR);
        if flags.contains(EventFlags::PRI) && !self.urgent {
            // In line with the other bytes, it is passed on as one of them instead of skipped.
            let _refused = sockopt::set_oob_inline(&self.stream);
            self.urgent = true;
            self.readable = true;
        }
    }

    /// Bytes that the send queue has taken since the start, acknowledged or not.
    ///
    /// Exact when nothing is acknowledged between the two calls, else too small: the
    /// acknowledgement counter is read first. To be asked before a FIN is sent, which counts 1.
    pub(super) fn queued(&self) -> Result<u64, Error> {
        let acked = TcpInfo::of(&self.stream)?.bytes_acked;
        Ok((acked + sockopt::send_queue(&self.stream)?).saturating_sub(self.base))
    }

    /// As [`Self::queued`], and exact: asked again until no acknowledgement came in between.
    pub(super) fn queued_exactly(&self) -> Result<u64, Error> {
        let mut acked = TcpInfo::of(&self.stream)?.bytes_acked;
        loop {
            let unacked = sockopt::send_queue(&self.stream)?;
            let now = TcpInfo::of(&self.stream)?.bytes_acked;
            if now == acked {
                return Ok((acked + unacked).saturating_sub(self.base));
            }
            acked = now;
        }
    }

    /// Bytes in the send queue that the peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        sockopt::send_queue(&self.stream).unwrap_or(0)
    }

    /// Bytes that the peer has acknowledged, in all.
    pub(super) fn acknowledged(&self) -> u64 {
        TcpInfo::of(&self.stream).map_or(0, |info| info.bytes_acked)
    }

    /// Payload bytes received in order since the start. The FIN, which the kernel counts as a byte,
    /// is left out when `fin` says it was read.
    pub(super) fn received(&self, fin: bool) -> u64 {
        let counted = TcpInfo::of(&self.stream).map_or(0, |info| info.bytes_received);
        counted.saturating_sub(u64::from(fin))
    }

    /// Sends a FIN after what is queued. Meaningless, and harmless, on a socket that has failed.
    pub(super) fn shutdown_write(&self) {
        let _closed_already = self.stream.shutdown(Shutdown::Write);
    }

    /// Lets closing this socket send what is queued; until then any close is a reset.
    pub(super) fn close_after_sending(&self) {
        let _closed_already = sockopt::clear_linger(&self.stream);
    }

    /// Makes closing this socket a reset.
    pub(super) fn reset_on_close(&self) {
        let _closed_already = sockopt::set_linger_zero(&self.stream);
    }

    /// Our address and the peer's.
    pub(super) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((
            self.stream.local_addr().ok()?,
            self.stream.peer_addr().ok()?,
        ))
    }

    pub(super) fn cookie(&self) -> Result<u64, Error> {
        sockopt::socket_cookie(&self.stream)
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
