//! One socket of a connection: its readiness as epoll told it, and what its send queue took.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::live::LentSocket;
use crate::sys::tcp_info::TcpInfo;
use crate::sys::{Error, sockopt};

/// What a socket counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// Bytes received in order; a FIN counts 1.
    pub(super) received: u64,
    /// Bytes that the send queue has taken since the start, without the FIN.
    pub(super) queued: u64,
}

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
    /// Lent to others while the connection runs.
    stream: Arc<TcpStream>,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer reset, or the kernel gave the connection up. A later `read() == 0` is no FIN then.
    pub(super) failed: bool,
    /// Urgent data came: splice(2) stops before it for ever, so this socket is read by recv(2).
    pub(super) urgent: bool,
    /// The socket is in the map of egress sockets.
    pub(super) is_target: bool,
    /// `tcpi_bytes_acked` at the start, when nothing was queued.
    base: u64,
    fin_queued: bool,
    interest: EventFlags,
}

impl Endpoint {
    /// Takes a fresh socket, of which nothing was read or written.
    pub(super) fn new(stream: TcpStream) -> Result<Self, Error> {
        let base = TcpInfo::of(&stream)?.bytes_acked;
        Ok(Self {
            stream: Arc::new(stream),
            readable: true,
            writable: true,
            failed: false,
            urgent: false,
            is_target: false,
            base,
            fin_queued: false,
            interest: read_interest() | EventFlags::OUT | quiet_interest(),
        })
    }

    /// The socket, for others to ask and to pace.
    pub(super) fn to_lend(&self) -> LentSocket {
        Arc::clone(&self.stream) as LentSocket
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

    /// Has the kernel wake for `bytes` at once, and for an end or an error as ever.
    pub(super) fn wake_from(&self, bytes: i32) -> Result<(), Error> {
        sockopt::set_receive_low_water(&self.stream, bytes)
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

    /// Bytes that the send queue has taken since the start, acknowledged or not, without the FIN.
    ///
    /// Exact when nothing is acknowledged between the two calls, else too small: the
    /// acknowledgement counter is read first.
    pub(super) fn queued(&self) -> Result<u64, Error> {
        let acked = TcpInfo::of(&self.stream)?.bytes_acked;
        Ok(self.since_start(acked + sockopt::send_queue(&self.stream)?))
    }

    /// What the socket has to say at the end, exact.
    pub(super) fn account(&self) -> Result<Account, Error> {
        let mut unacked = sockopt::send_queue(&self.stream)?;
        loop {
            let info = TcpInfo::of(&self.stream)?;
            // With an empty queue nothing can be acknowledged in between.
            let now = if unacked == 0 {
                0
            } else {
                sockopt::send_queue(&self.stream)?
            };
            if now == unacked {
                return Ok(Account {
                    received: info.bytes_received,
                    queued: self.since_start(info.bytes_acked + unacked),
                });
            }
            unacked = now;
        }
    }

    /// The kernel counts a SYN that was sent before the start, and the FIN once it is queued.
    fn since_start(&self, sequence_numbers: u64) -> u64 {
        sequence_numbers.saturating_sub(self.base + u64::from(self.fin_queued))
    }

    /// Bytes in the send queue that the peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        sockopt::send_queue(&self.stream).unwrap_or(0)
    }

    /// Bytes that the peer has acknowledged, in all.
    pub(super) fn acknowledged(&self) -> u64 {
        TcpInfo::of(&self.stream).map_or(0, |info| info.bytes_acked)
    }

    /// Sends a FIN after what is queued. Meaningless, and harmless, on a socket that has failed.
    pub(super) fn shutdown_write(&mut self) {
        self.fin_queued = self.stream.shutdown(Shutdown::Write).is_ok();
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
