//! Dialling: the targets' addresses one after the other, within one time budget.
//!
//! On a short path the handshake is done before `connect` returns to us; one look at the socket then
//! spares the registration with epoll, the timer and the wake-up.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use tokio::io::Interest;
use tokio::time::{Instant, sleep, timeout};

use super::options::SocketOptions;
use super::own::OwnListeners;
use super::targets::Targets;
use crate::sys;
use crate::sys::sockopt;
use crate::sys::watched::Watched;

/// How long a dial may take before the accepted side is watched for a reset as well.
const WATCH_AFTER: Duration = Duration::from_millis(20);

/// Reaches targets.
#[derive(Clone, Debug)]
pub struct Dialer {
    options: SocketOptions,
    timeout: Duration,
    own: Arc<OwnListeners>,
}

/// A socket made for the connection that is accepted next, and its turn at the targets.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) targets: Arc<Targets>,
    turn: usize,
    first: SocketAddr,
    socket: OwnedFd,
}

/// A dial under way: its first SYN is sent.
pub(super) struct Begun {
    targets: Arc<Targets>,
    turn: usize,
    started: Started,
}

/// A connection to a target.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
}

/// Why no target was reached. The label in logs and metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RefusalReason {
    /// The accepted side reset the connection before a target was reached.
    DownstreamGone,
    /// No local port is free towards the target.
    LocalPortsExhausted,
    /// No descriptor or memory is left for a socket.
    OpenFileLimit,
    /// Whoever connected comes from a network that may not.
    SourceNotAllowed,
    /// The gateway, or the session, is stopping.
    Stopping,
    /// A target did not answer in time.
    UpstreamTimeout,
    /// A target refused, or no way leads to it.
    UpstreamUnreachable,
}

/// A connection that found no target.
#[derive(Debug)]
pub struct Refusal {
    /// Why, by the last attempt.
    pub reason: RefusalReason,
    /// The addresses tried, and how each failed.
    pub tried: Vec<(SocketAddr, io::Error)>,
}

impl RefusalReason {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DownstreamGone => "downstream_gone",
            Self::LocalPortsExhausted => "local_ports_exhausted",
            Self::OpenFileLimit => "open_file_limit",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::Stopping => "stopping",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamUnreachable => "upstream_unreachable",
        }
    }

    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::ADDRNOTAVAIL) => Self::LocalPortsExhausted,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::OpenFileLimit,
            Some(Errno::TIMEDOUT) => Self::UpstreamTimeout,
            Some(_) => Self::UpstreamUnreachable,
            None if error.kind() == ErrorKind::TimedOut => Self::UpstreamTimeout,
            None => Self::UpstreamUnreachable,
        }
    }
}

impl Refusal {
    /// A refusal that no attempt explains.
    pub(super) fn without_attempts(reason: RefusalReason) -> Self {
        Self {
            reason,
            tried: Vec::new(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            RefusalReason::DownstreamGone => return f.write_str("the accepted side reset first"),
            RefusalReason::SourceNotAllowed => {
                return f.write_str("the session takes no connections from there");
            }
            RefusalReason::Stopping => return f.write_str("the session is ending"),
            RefusalReason::LocalPortsExhausted
            | RefusalReason::OpenFileLimit
            | RefusalReason::UpstreamTimeout
            | RefusalReason::UpstreamUnreachable => {}
        }
        f.write_str("no target answered:")?;
        for (address, error) in &self.tried {
            write!(f, " {address} {error};")?;
        }
        f.write_str(match self.reason {
            RefusalReason::LocalPortsExhausted => " widen net.ipv4.ip_local_port_range",
            RefusalReason::OpenFileLimit => " raise the limit on open files (ulimit -n)",
            RefusalReason::DownstreamGone
            | RefusalReason::SourceNotAllowed
            | RefusalReason::Stopping
            | RefusalReason::UpstreamTimeout
            | RefusalReason::UpstreamUnreachable => " see that it runs and that routes lead there",
        })
    }
}

/// A connection under way.
struct Started {
    address: SocketAddr,
    outcome: io::Result<Outcome>,
}

enum Outcome {
    Connected(OwnedFd),
    InProgress(OwnedFd),
}

impl Dialer {
    /// Dials with sockets of these options, and never `own` listeners; one connection may take
    /// `timeout` over all addresses.
    pub fn new(options: SocketOptions, timeout: Duration, own: Arc<OwnListeners>) -> Self {
        Self {
            options,
            timeout,
            own,
        }
    }

    /// Makes the socket that the next connection dials with first.
    ///
    /// # Errors
    /// When the kernel has no descriptor or memory for it.
    pub(super) fn prepare(&self, targets: &Arc<Targets>) -> Result<Prepared, sys::Error> {
        let turn = targets.next_turn();
        let first = targets.first(turn).ok_or_else(|| {
            let missing = io::Error::new(ErrorKind::AddrNotAvailable, "a target has no address");
            sys::Error::new("resolve", missing)
        })?;
        let socket = self.socket(first)?;
        Ok(Prepared {
            targets: Arc::clone(targets),
            turn,
            first,
            socket,
        })
    }

    fn socket(&self, address: SocketAddr) -> Result<OwnedFd, sys::Error> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
                .map_err(|errno| sys::Error::new("socket", errno))?;
        self.options.apply(socket.as_fd())?;
        Ok(socket)
    }

    /// Sends the SYN to the first address. Whoever calls this in the order of its accepts dials in
    /// that order: programs that open several connections know them apart by it (iperf3 --bidir).
    pub(super) fn begin(&self, prepared: Prepared) -> Begun {
        let Prepared {
            targets,
            turn,
            first,
            socket,
        } = prepared;
        Begun {
            targets,
            turn,
            started: self.start(socket, first),
        }
    }

    /// Connects to the first address that answers, beginning with the one begun with.
    pub(super) async fn dial(
        &self,
        begun: Begun,
        downstream: &TcpStream,
    ) -> Result<Dialled, Refusal> {
        let Begun {
            targets,
            turn,
            started,
        } = begun;
        if let Started {
            address,
            outcome: Ok(Outcome::Connected(socket)),
        } = started
        {
            return Ok(Dialled {
                stream: TcpStream::from(socket),
                address,
            });
        }
        tokio::select! {
            dialled = self.try_in_turn(&targets, turn, started) => dialled,
            () = reset_by(downstream) => {
                Err(Refusal::without_attempts(RefusalReason::DownstreamGone))
            }
        }
    }

    /// Tries every address known, then those that asking the resolver again brings.
    async fn try_in_turn(
        &self,
        targets: &Targets,
        turn: usize,
        started: Started,
    ) -> Result<Dialled, Refusal> {
        let deadline = Instant::now() + self.timeout;
        let mut addresses = targets.candidates(turn);
        addresses.retain(|&address| address != started.address);
        addresses.insert(0, started.address);
        let mut started = Some(started);
        let mut tried = Vec::new();
        let mut resolved_again = false;
        loop {
            while let Some(&address) = addresses.get(tried.len()) {
                let left = deadline.saturating_duration_since(Instant::now());
                let share = left / u32::try_from(addresses.len() - tried.len()).unwrap_or(u32::MAX);
                match self.attempt(address, started.take(), share).await {
                    Ok(stream) => return Ok(Dialled { stream, address }),
                    Err(error) => tried.push((address, error)),
                }
            }
            if resolved_again
                || timeout(self.timeout, targets.resolve_again())
                    .await
                    .is_err()
            {
                return Err(Refusal {
                    reason: tried
                        .last()
                        .map_or(RefusalReason::UpstreamUnreachable, |(_, error)| {
                            RefusalReason::of(error)
                        }),
                    tried,
                });
            }
            resolved_again = true;
            let fresh = targets.candidates(turn);
            addresses.extend(
                fresh
                    .into_iter()
                    .filter(|fresh| tried.iter().all(|(address, _)| address != fresh)),
            );
        }
    }

    /// As [`connect`], unless it would lead back to us. A name may have come to point here since its
    /// target was accepted.
    fn start(&self, socket: OwnedFd, address: SocketAddr) -> Started {
        if self.own.reach(address) {
            let message = "is one of the gateway's own listeners";
            let outcome = Err(io::Error::new(ErrorKind::ConnectionRefused, message));
            return Started { address, outcome };
        }
        connect(socket, address)
    }

    async fn attempt(
        &self,
        address: SocketAddr,
        started: Option<Started>,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        let started = match started {
            Some(started) => started,
            None => self.start(self.socket(address)?, address),
        };
        match started.outcome? {
            Outcome::Connected(socket) => Ok(TcpStream::from(socket)),
            Outcome::InProgress(socket) => match timeout(limit, connected(socket)).await {
                Ok(outcome) => outcome.map(TcpStream::from),
                Err(_elapsed) => Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("did not answer within {} ms", limit.as_millis()),
                )),
            },
        }
    }
}

/// Begins to connect, and sees whether that is all there is to do.
fn connect(socket: OwnedFd, address: SocketAddr) -> Started {
    let outcome = match rustix::net::connect(&socket, &address) {
        Ok(()) => Ok(Outcome::Connected(socket)),
        Err(Errno::INPROGRESS | Errno::INTR) => look(socket),
        Err(errno) => Err(errno.into()),
    };
    let outcome = outcome.and_then(|outcome| match outcome {
        Outcome::Connected(socket) => no_self_connection(socket, address).map(Outcome::Connected),
        Outcome::InProgress(socket) => Ok(Outcome::InProgress(socket)),
    });
    Started { address, outcome }
}

/// One look at a socket that is connecting, without waiting.
fn look(socket: OwnedFd) -> io::Result<Outcome> {
    let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
    poll(&mut polled, Some(&Timespec::default()))?;
    let [entry] = polled;
    let events = entry.revents();
    if events.intersects(PollFlags::ERR | PollFlags::HUP) {
        return Err(pending_error(&socket));
    }
    if events.contains(PollFlags::OUT) {
        return Ok(Outcome::Connected(socket));
    }
    Ok(Outcome::InProgress(socket))
}

/// Waits for the handshake.
async fn connected(socket: OwnedFd) -> io::Result<OwnedFd> {
    let socket = Watched::new(socket, Interest::WRITABLE)?;
    let events = socket.ready(Interest::WRITABLE | Interest::ERROR).await?;
    let failed = events.ready().is_error() || events.ready().is_write_closed();
    drop(events);
    let socket = socket.into_inner();
    if failed {
        return Err(pending_error(&socket));
    }
    Ok(socket)
}

/// Why a connect failed.
fn pending_error(socket: &OwnedFd) -> io::Error {
    match sockopt::take_error(socket) {
        Ok(Some(error)) => error,
        Ok(None) => ErrorKind::ConnectionReset.into(),
        Err(error) => error.into(),
    }
}

/// A local port that nobody listens on can be given to the very socket that dials it, which then
/// talks to itself (RFC 9293, simultaneous open).
fn no_self_connection(socket: OwnedFd, address: SocketAddr) -> io::Result<OwnedFd> {
    if address.ip().is_loopback() {
        let local = rustix::net::getsockname(&socket)?;
        if SocketAddr::try_from(local).is_ok_and(|local| local == address) {
            return Err(ErrorKind::ConnectionRefused.into());
        }
    }
    Ok(socket)
}

/// Completes when the accepted side has reset the connection. Its FIN is none: what it sent before
/// may still be wanted.
async fn reset_by(downstream: &TcpStream) {
    sleep(WATCH_AFTER).await;
    let watched = downstream
        .as_fd()
        .try_clone_to_owned()
        .and_then(|socket| Watched::new(socket, Interest::ERROR));
    let Ok(watched) = watched else {
        return std::future::pending().await;
    };
    let _reset = watched.ready(Interest::ERROR).await;
}

#[cfg(test)]
mod tests;
