//! The receiving end of a run: takes the streams, times the messages, checks every byte.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::sockopt;

use super::datagrams::{Brought, Datagrams};
use super::decoder::Decoder;
use super::report::Report;
use super::tally::{Tally, Window};
use super::{Protocol, Receive};
use crate::clock;

/// Bytes asked of a TCP socket at once: as much as the kernel hands over well, little enough to be
/// in the CPU's cache when it is checked.
const READ: usize = 128 << 10;

/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// Receive buffer of the UDP socket, bytes, where that is allowed: a burst of the largest messages.
const UDP_BUFFER: usize = 64 << 20;

/// After every stream has said that it is over, what is still under way gets so long.
const STRAGGLERS: Duration = Duration::from_millis(300);

/// A receiver that is bound and has not begun.
#[derive(Debug)]
pub(super) struct Receiving {
    socket: Socket,
    options: Receive,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Receiving {
    /// Errors when the address cannot be bound.
    pub(super) fn bind(options: Receive) -> Result<Self> {
        let address = options.listen;
        let socket = match options.protocol {
            Protocol::Tcp => TcpListener::bind(address).map(Socket::Tcp),
            Protocol::Udp => UdpSocket::bind(address).map(Socket::Udp),
        };
        let socket = socket.with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { socket, options })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Result<SocketAddr> {
        let address = match &self.socket {
            Socket::Tcp(listener) => listener.local_addr(),
            Socket::Udp(socket) => socket.local_addr(),
        };
        address.context("asking where it listens")
    }

    /// Takes one run to its end.
    ///
    /// Errors when a stream does not come, does not end, or has a byte that was not sent.
    pub(super) fn run(self) -> Result<Report> {
        let window = Window::new(self.options.warm_up);
        match &self.socket {
            Socket::Tcp(listener) => self.take_streams(listener, &window),
            Socket::Udp(socket) => self.take_datagrams(socket, &window),
        }
    }

    fn take_streams(&self, listener: &TcpListener, window: &Window) -> Result<Report> {
        let Receive {
            streams, patience, ..
        } = self.options;
        // accept(2) heeds the receive timeout of the listener.
        socket2::SockRef::from(listener)
            .set_read_timeout(Some(patience))
            .context("setting an accept timeout")?;
        let mut tallies = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for number in 0..streams {
                let (stream, _) = listener.accept().with_context(|| {
                    format!("{number} of {streams} streams came within {patience:?}")
                })?;
                let thread = std::thread::Builder::new().name("traffic-stream".to_owned());
                let thread =
                    thread.spawn_scoped(scope, move || take_stream(stream, patience, window));
                threads.push(thread.context("starting a thread for a stream")?);
            }
            let ended = threads.into_iter().map(|thread| match thread.join() {
                Ok(tally) => tally,
                Err(_) => bail!("the thread of a stream panicked"),
            });
            ended.collect::<Result<Vec<_>>>()
        })?;
        tallies.sort_by_key(|(stream, _)| *stream);
        let twice = tallies.windows(2).find(|pair| pair[0].0 == pair[1].0);
        if let Some(pair) = twice {
            bail!("stream {} came twice: two senders at once?", pair[0].0);
        }
        let tallies: Vec<Tally> = tallies.into_iter().map(|(_, tally)| tally).collect();
        self.report(window, &tallies, None)
    }

    fn take_datagrams(&self, socket: &UdpSocket, window: &Window) -> Result<Report> {
        // Without the privilege the system's limit holds, and losses tell.
        if sockopt::set_socket_recv_buffer_size_force(socket, UDP_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(socket, UDP_BUFFER)
                .context("setting the receive buffer")?;
        }
        let mut datagrams = Datagrams::default();
        let mut tallies = Vec::new();
        for _ in 0..self.options.streams {
            tallies.push(Tally::new()?);
        }
        let mut buffer = vec![0; DATAGRAM];
        let mut patience = Duration::ZERO;
        loop {
            let wanted = if datagrams.all_ended() {
                STRAGGLERS
            } else {
                self.options.patience
            };
            if wanted != patience {
                patience = wanted;
                let set = socket.set_read_timeout(Some(patience));
                set.context("setting a read timeout")?;
            }
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("receiving a datagram"),
            };
            let now = clock::now();
            let brought = datagrams.take(&buffer[..length])?;
            count(&mut tallies, brought, length, now, window)?;
        }
        let datagrams = datagrams.report()?;
        self.report(window, &tallies, Some(datagrams))
    }

    fn report(
        &self,
        window: &Window,
        tallies: &[Tally],
        datagrams: Option<super::DatagramReport>,
    ) -> Result<Report> {
        let mut sum = Tally::new()?;
        for tally in tallies {
            sum.merge(tally)?;
        }
        ensure!(sum.bytes > 0, "nothing came");
        let protocol = self.options.protocol;
        Ok(Report::new(protocol, window, tallies, &sum, datagrams))
    }
}

/// Takes one connection to its end.
fn take_stream(mut socket: TcpStream, patience: Duration, window: &Window) -> Result<(u16, Tally)> {
    socket
        .set_read_timeout(Some(patience))
        .context("setting a read timeout")?;
    let mut decoder = Decoder::default();
    let mut tally = Tally::new()?;
    let mut buffer = vec![0; READ];
    loop {
        let length = match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let stream = decoder.stream().map_or("?".to_owned(), |id| id.to_string());
                let (bytes, messages) = (tally.bytes, tally.messages);
                return Err(error).with_context(|| {
                    format!("stream {stream} broke after {messages} messages, {bytes} bytes")
                });
            }
        };
        let now = clock::now();
        tally.add_bytes(length, now, window);
        decoder.take(&buffer[..length], |header| {
            tally.add_message(header, now, window)
        })?;
    }
    decoder.finish()?;
    let stream = decoder.stream().context("a stream without a header")?;
    Ok((stream, tally))
}

/// Counts what a datagram brought; its header counts with the first part of a message only.
fn count(
    tallies: &mut [Tally],
    brought: Brought,
    length: usize,
    now: u64,
    window: &Window,
) -> Result<()> {
    let (Brought::Part(header) | Brought::Last(header)) = brought else {
        return Ok(());
    };
    let streams = tallies.len();
    let tally = tallies.get_mut(usize::from(header.stream));
    let tally = tally.with_context(|| {
        format!(
            "stream {} came, though {streams} were expected",
            header.stream
        )
    })?;
    let bytes = match header.offset {
        0 => length,
        _ => length - super::header::HEADER,
    };
    tally.add_bytes(bytes, now, window);
    if let Brought::Last(header) = brought {
        tally.add_message(&header, now, window);
    }
    Ok(())
}
