//! One end of a connection: a blocking socket with deadlines that sends the next bytes of one
//! stream and checks that what comes are the next bytes of another.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::net::sockopt;

use crate::patience::stretched;

use super::pattern::Pattern;
use super::sys;
use super::watch::{Waiting, Watch};

use half::{Half, lock};

mod half;
mod receiving;
mod sending;

pub use receiving::Stalls;
pub use sending::Pace;

/// How long a read or write may take before it counts as stuck, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connected socket, the stream it sends and the stream it expects.
///
/// Whatever fails says which end it was, what it was doing, and at which byte.
pub struct Endpoint {
    name: String,
    stream: TcpStream,
    watch: Watch,
    sending: Mutex<Half>,
    receiving: Mutex<Half>,
}

/// What an endpoint says of the stream it sends, to a peer that cannot know which it will be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// The stream's seed.
    pub seed: u64,
    /// How many bytes of it follow.
    pub bytes: u64,
}

impl Endpoint {
    /// Takes a connected socket that sends `outgoing` and expects `incoming`.
    pub fn new(
        name: impl Into<String>,
        stream: TcpStream,
        [outgoing, incoming]: [Pattern; 2],
        watch: &Watch,
    ) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let endpoint = Self {
            name: name.into(),
            stream,
            watch: watch.clone(),
            sending: Mutex::new(Half::new(outgoing)),
            receiving: Mutex::new(Half::new(incoming)),
        };
        endpoint.set_patience(stretched(PATIENCE))?;
        Ok(endpoint)
    }

    /// Sets how long a read or write may take before it counts as stuck.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        Ok(())
    }

    /// Limits the receive buffer, so that a reader that stops is felt after about so many bytes.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.stream, bytes)?)
    }

    /// Sets the send buffer beyond the system's limit; needs CAP_NET_ADMIN.
    pub fn force_send_buffer(&self, bytes: usize) -> Result<()> {
        Ok(sockopt::set_socket_send_buffer_size_force(
            &self.stream,
            bytes,
        )?)
    }

    /// The socket's own address.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// The socket's own address, and its peer's.
    pub(super) fn addresses(&self) -> Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
    }

    /// The socket's sequence numbers; needs CAP_NET_ADMIN.
    pub(super) fn sequence(&self) -> Result<sys::Sequence> {
        sys::sequence(&self.stream).context("TCP_REPAIR")
    }

    /// The stream it sends.
    pub fn outgoing(&self) -> Pattern {
        lock(&self.sending).pattern
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        lock(&self.sending).hash.bytes()
    }

    /// Bytes received, and found right, so far.
    pub fn received(&self) -> u64 {
        lock(&self.receiving).hash.bytes()
    }

    /// The hash of the bytes sent so far.
    pub fn sent_digest(&self) -> u64 {
        lock(&self.sending).hash.digest()
    }

    /// The hash of the bytes received so far.
    pub fn received_digest(&self) -> u64 {
        lock(&self.receiving).hash.digest()
    }

    /// Bytes sent that the peer's kernel has not acknowledged.
    pub fn unacknowledged(&self) -> Result<u64> {
        sys::unacknowledged(&self.stream).context("SIOCOUTQ")
    }

    /// Bytes that came and were not received yet.
    pub fn unread(&self) -> Result<u64> {
        sys::unread(&self.stream).context("FIONREAD")
    }

    fn failed(&self, doing: &str, half: &Half, error: io::Error) -> anyhow::Error {
        let (name, at) = (&self.name, half.hash.bytes());
        if error.kind() == io::ErrorKind::WouldBlock {
            return anyhow!(
                "{name}: {doing} is stuck at byte {at}: nothing moved for the deadline"
            );
        }
        anyhow!(error).context(format!("{name}: {doing} failed at byte {at}"))
    }

    fn waiting(&self, doing: &str) -> Waiting {
        self.watch.waiting(format!("{}: {doing}", self.name))
    }
}
