//! What is where the gateway dials: a listener, one that does not answer for a while, or nothing.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use socket2::{Domain, Socket, Type};

use crate::netns::Place;
use crate::patience::stretched;

use super::setup::Target;

/// How long the gateway may take to dial.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(20);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// A socket that has sent its SYN and has no answer, in `/proc/net/tcp`.
const SYN_SENT: &str = "02";

/// A bound socket that listens, or does not.
pub(super) struct TargetListener {
    listener: TcpListener,
    /// What fills the queue of a target that is late.
    fillers: Vec<TcpStream>,
}

impl TargetListener {
    /// Binds a free port of `ip` at `place`, with whatever keeps it from answering.
    pub(super) fn open(place: Place<'_>, ip: IpAddr, target: Target) -> Result<Self> {
        let address = SocketAddr::new(ip, 0);
        let bound = place.enter(|| {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.bind(&address.into())?;
            match target {
                Target::Absent => {}
                // The queue of a listener with backlog 0 holds one connection.
                Target::Late => socket.listen(0)?,
                Target::Listening => socket.listen(BACKLOG)?,
            }
            std::io::Result::Ok(TcpListener::from(socket))
        })?;
        let listener = bound.with_context(|| format!("binding the target at {address}"))?;
        set_socket_timeout(&listener, Timeout::Recv, Some(stretched(ACCEPT_PATIENCE)))?;
        let mut fillers = Vec::new();
        if target == Target::Late {
            let dial = listener.local_addr()?;
            let filler =
                place.enter(|| TcpStream::connect_timeout(&dial, stretched(ACCEPT_PATIENCE)))?;
            fillers.push(filler.context("filling the target's queue")?);
        }
        Ok(Self { listener, fillers })
    }

    /// Where the gateway dials.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Accepts the next connection that the gateway dials.
    pub(super) fn accept(&self) -> Result<TcpStream> {
        let accepted = self.listener.accept();
        let (stream, _gateway) = accepted.context("the gateway did not dial the target")?;
        Ok(stream)
    }

    /// Accepts a connection that the gateway has dialled already, if there is one.
    pub(super) fn accept_if_there(&self) -> Result<Option<TcpStream>> {
        self.listener.set_nonblocking(true)?;
        let accepted = self.listener.accept();
        self.listener.set_nonblocking(false)?;
        match accepted {
            Ok((stream, _gateway)) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets a late target answer.
    pub(super) fn release(&self) -> Result<()> {
        rustix::net::listen(&self.listener, BACKLOG)?;
        for _filler in &self.fillers {
            let taken = self.listener.accept();
            drop(taken.context("taking out what filled the target's queue")?);
        }
        Ok(())
    }

    /// How many SYNs from the network namespace of `process` the target has not answered.
    pub(super) fn unanswered_dials_of(&self, process: u32) -> Result<usize> {
        let address = self.address()?;
        let table = if address.is_ipv4() { "tcp" } else { "tcp6" };
        let table = format!("/proc/{process}/net/{table}");
        let sockets = fs::read_to_string(&table).with_context(|| table)?;
        let target = format!("{:04X}", address.port());
        let unanswered = sockets.lines().filter(|line| {
            let mut fields = line.split_whitespace().skip(2);
            let port = fields.next().and_then(|remote| remote.rsplit(':').next());
            port == Some(&target) && fields.next() == Some(SYN_SENT)
        });
        Ok(unanswered.count())
    }
}
