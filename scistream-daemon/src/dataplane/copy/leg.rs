//! One socket of a connection on the copy plane, with the counts the ledger needs of it.

use std::io::{self, ErrorKind};
use std::net::TcpStream as StdStream;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::net::Shutdown;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::dataplane::live::LentSocket;
use crate::dataplane::{EndReason, Side, ledger};
use crate::sys::sockopt;
use crate::sys::tcp_info::TcpInfo;

/// One socket of a connection.
#[derive(Debug)]
pub(super) struct Leg {
    /// Lent to others while the connection runs.
    pub(super) stream: Arc<TcpStream>,
    side: Side,
    taken_before: u64,
}

/// A side whose socket failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("{side:?}: {source}")]
pub(super) struct Broken {
    pub(super) side: Side,
    pub(super) source: io::Error,
}

impl Broken {
    /// Whether the failure tells of the peer (it reset, died or became unreachable), and not of
    /// this host.
    pub(super) fn is_of_the_peer(&self) -> bool {
        matches!(
            self.source.kind(),
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NotConnected
                | ErrorKind::TimedOut
        )
    }
}

impl Leg {
    pub(super) fn new(stream: StdStream, side: Side) -> io::Result<Self> {
        sockopt::set_oob_inline(&stream)?;
        let taken_before = ledger::bytes_taken(&stream)?;
        Ok(Self {
            stream: Arc::new(TcpStream::from_std(stream)?),
            side,
            taken_before,
        })
    }

    /// The socket, for others to ask and to pace.
    pub(super) fn to_lend(&self) -> LentSocket {
        Arc::clone(&self.stream) as LentSocket
    }

    pub(super) fn break_with(&self, source: io::Error) -> Broken {
        Broken {
            side: self.side,
            source,
        }
    }

    /// Completes when the kernel reports an error of this socket, also while nobody reads or writes
    /// it.
    pub(super) async fn broken(&self) -> Broken {
        if let Err(error) = self.stream.ready(Interest::ERROR).await {
            return self.break_with(error);
        }
        let pending = sockopt::take_error(self.stream.as_fd()).ok().flatten();
        // A read or write that met the error first has cleared it; it is a reset all the same.
        self.break_with(pending.unwrap_or_else(|| ErrorKind::ConnectionReset.into()))
    }

    /// Sends FIN after everything written.
    pub(super) fn finish_writing(&self) -> Result<(), Broken> {
        rustix::net::shutdown(&self.stream, Shutdown::Write)
            .map_err(|errno| self.break_with(errno.into()))
    }

    /// Makes closing this socket what the end calls for: a FIN has been sent, or it is a reset.
    pub(super) fn settle_close(&self, end: EndReason) {
        let settled = if end == EndReason::Finished {
            sockopt::clear_linger(&self.stream)
        } else {
            sockopt::set_linger_zero(&self.stream)
        };
        if let Err(error) = settled {
            tracing::debug!(side = ?self.side, %error, "a side is closed in the wrong way");
        }
    }

    /// Payload bytes received since the connection began; `fin_read` once its FIN was read.
    pub(super) fn received(&self, fin_read: bool) -> u64 {
        TcpInfo::of(&self.stream).map_or(0, |info| ledger::payload_received(&info, fin_read))
    }

    /// Payload bytes this socket took for sending since it was handed to the plane; to be read
    /// before FIN is sent, which counts as one.
    pub(super) fn taken(&self) -> u64 {
        ledger::bytes_taken(&self.stream).map_or(0, |taken| taken.saturating_sub(self.taken_before))
    }

    /// Bytes sent and not acknowledged yet.
    pub(super) fn unacknowledged(&self) -> u64 {
        sockopt::send_queue(&self.stream).unwrap_or(0)
    }
}
