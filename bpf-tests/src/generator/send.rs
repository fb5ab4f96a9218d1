//! The sending end of a run: one thread and one socket for each stream, messages by the plan.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::block::Block;
use super::header::{Header, Kind};
use super::plan::Plan;
use super::report::{FORMAT, SendReport};
use super::{Load, Protocol};
use crate::clock;
use datagrams::DatagramSocket;
use stream::StreamSocket;

mod datagrams;
mod stream;

/// From the moment all sockets are ready to the first message.
const LEAD: Duration = Duration::from_millis(20);

/// A load that is behind its plan is given up when so many times its duration are over.
const OVERTIME: u64 = 2;

/// A socket that takes messages.
trait Outlet: Send {
    /// Hands the whole message over.
    fn send(&mut self, block: &Block, header: &Header) -> Result<()>;
    /// Says that the stream is over, and waits until the other side knows if it can.
    ///
    /// Answers the segments that were sent again, where there are segments.
    fn finish(self: Box<Self>, end: &Header) -> Result<Option<u64>>;
}

/// What one stream sent.
#[derive(Debug, Default)]
struct Sent {
    messages: u64,
    abandoned: u64,
    last: u64,
    retransmits: Option<u64>,
}

/// Sends `load` to `to`.
///
/// Errors when nobody takes it.
pub(super) fn run(load: &Load, to: SocketAddr) -> Result<SendReport> {
    let outlets = open(load, to)?;
    let block = Arc::new(Block::new(load.run));
    let start = clock::now() + clock::nanoseconds(LEAD);
    let sent = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (stream, outlet) in (0..).zip(outlets) {
            let block = &block;
            let thread = std::thread::Builder::new().name("traffic-stream".to_owned());
            let thread = thread.spawn_scoped(scope, move || {
                let sent = send_all(load, stream, start, block, outlet);
                sent.with_context(|| format!("sending stream {stream}"))
            });
            threads.push(thread.context("starting a thread for a stream")?);
        }
        collect(threads)
    })?;
    let messages = sent.iter().map(|sent| sent.messages).sum();
    let last = sent.iter().map(|sent| sent.last).max().unwrap_or(start);
    let retransmits = sent.iter().filter_map(|sent| sent.retransmits);
    Ok(SendReport {
        format: FORMAT,
        messages,
        bytes: messages * u64::from(load.message_size),
        seconds: last.saturating_sub(start) as f64 / 1e9,
        abandoned: sent.iter().map(|sent| sent.abandoned).sum(),
        retransmits: match load.protocol {
            Protocol::Tcp => Some(retransmits.sum()),
            Protocol::Udp => None,
        },
    })
}

/// Dials all streams at once: one after the other would take minutes over a long path.
fn open(load: &Load, to: SocketAddr) -> Result<Vec<Box<dyn Outlet>>> {
    std::thread::scope(|scope| {
        let threads = (0..load.streams).map(|_| scope.spawn(|| open_one(load, to)));
        collect(threads.collect())
    })
}

fn open_one(load: &Load, to: SocketAddr) -> Result<Box<dyn Outlet>> {
    Ok(match load.protocol {
        Protocol::Tcp => {
            let socket = TcpStream::connect_timeout(&to, load.patience);
            let socket = socket.with_context(|| format!("cannot dial {to}"))?;
            Box::new(StreamSocket::new(socket, load.patience)?)
        }
        Protocol::Udp => {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).context("cannot make a socket")?;
            socket
                .connect(to)
                .with_context(|| format!("cannot send to {to}"))?;
            Box::new(DatagramSocket::new(socket, load.datagram))
        }
    })
}

fn collect<T>(threads: Vec<std::thread::ScopedJoinHandle<'_, Result<T>>>) -> Result<Vec<T>> {
    let ended = threads.into_iter().map(|thread| match thread.join() {
        Ok(answer) => answer,
        Err(_) => bail!("the thread of a stream panicked"),
    });
    ended.collect()
}

fn send_all(
    load: &Load,
    stream: u16,
    start: u64,
    block: &Block,
    mut outlet: Box<dyn Outlet>,
) -> Result<Sent> {
    clock::wake_on_time()?;
    let plan = Plan::new(load, stream, start);
    let give_up = start + OVERTIME * clock::nanoseconds(load.duration);
    let mut sent = Sent::default();
    let mut header = Header {
        kind: Kind::Message,
        stream,
        streams: load.streams,
        offset: 0,
        run: load.run,
        number: 0,
        due: 0,
        sent: 0,
        length: load.message_size,
    };
    while let Some(due) = plan.due(header.number, clock::now()) {
        let mut now = clock::now();
        if due > now {
            clock::sleep_until(due)?;
            now = clock::now();
        }
        if now > give_up {
            sent.abandoned = plan.left(header.number);
            break;
        }
        (header.due, header.sent) = (due, now);
        outlet.send(block, &header)?;
        header.number += 1;
    }
    sent.messages = header.number;
    sent.last = clock::now();
    header.kind = Kind::End;
    sent.retransmits = outlet.finish(&header)?;
    Ok(sent)
}
