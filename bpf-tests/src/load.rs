//! Small loads made of plain sockets, for what iperf3 cannot do: messages in time, connections in
//! a row, connections that say nothing.
//!
//! Both ends live in this process, so one clock times both: a listener at the consumer, sockets
//! dialled at the producer, and whatever is to be measured in between.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock;
use crate::netns::Place;
use crate::patience::stretched;

pub mod connections;
pub mod crowd;
pub mod flat_out;
pub mod flood;
pub mod idle;
pub mod messages;

/// How long one step (dial, read, write) may take before the load gives up on it.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Listens on a free port of `address` at `place`.
///
/// # Errors
/// When the address is not of this place.
pub fn listen<'a>(place: impl Into<Place<'a>>, address: IpAddr) -> Result<TcpListener> {
    place.into().enter(|| listen_at((address, 0).into()))?
}

/// Listens at `address` of this place, with room for many connections that wait.
pub(crate) fn listen_at(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok::<TcpListener, std::io::Error>(socket.into())
    };
    listen().with_context(|| format!("cannot listen on {address}"))
}

/// Dials `address` at `place` and takes the connection that arrives at `listener`, directly or
/// through a relay; one byte each way proves that the two ends are the same connection.
///
/// # Errors
/// When nothing arrives in time, or something else does.
pub fn join<'a>(
    place: impl Into<Place<'a>>,
    address: SocketAddr,
    listener: &TcpListener,
) -> Result<(TcpStream, TcpStream)> {
    let near = place.into().enter(|| dial(address))??;
    // A relay may dial on before the first byte or only with it.
    (&near).write_all(&[1]).context("writing the first byte")?;
    let far = accept(listener)?;
    greet(&far, 1).context("from the producer to the consumer")?;
    (&far)
        .write_all(&[2])
        .context("writing the first byte back")?;
    greet(&near, 2).context("from the consumer to the producer")?;
    Ok((near, far))
}

/// The shortest of several round trips of one byte between two joined streams: what the network
/// takes, without the waits for a CPU that the longer ones hold.
///
/// # Errors
/// When a byte does not arrive.
pub fn shortest_round_trip(mut near: &TcpStream, mut far: &TcpStream) -> Result<Duration> {
    const TRIES: usize = 12;
    let mut shortest = Duration::MAX;
    for _ in 0..TRIES {
        let start = clock::now();
        near.write_all(&[1]).context("writing a byte")?;
        greet(far, 1)?;
        far.write_all(&[2]).context("writing a byte back")?;
        greet(near, 2)?;
        shortest = shortest.min(Duration::from_nanos(clock::now() - start));
    }
    Ok(shortest)
}

/// Dials with a deadline; the stream has no delay and gives up on a step after a while.
///
/// # Errors
/// What connect(2) answers.
pub(crate) fn dial(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, stretched(STEP_TIMEOUT))
        .with_context(|| format!("dialling {address}"))?;
    settle(&stream)?;
    Ok(stream)
}

fn settle(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true).context("setting TCP_NODELAY")?;
    stream
        .set_read_timeout(Some(stretched(STEP_TIMEOUT)))
        .context("setting a read timeout")?;
    stream
        .set_write_timeout(Some(stretched(STEP_TIMEOUT)))
        .context("setting a write timeout")
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    // accept(2) heeds the receive timeout of the listener.
    let socket = socket2::SockRef::from(listener);
    socket
        .set_read_timeout(Some(stretched(STEP_TIMEOUT)))
        .context("setting an accept timeout")?;
    let (stream, _) = listener
        .accept()
        .context("no connection arrived at the consumer")?;
    settle(&stream)?;
    Ok(stream)
}

fn greet(mut reader: &TcpStream, wanted: u8) -> Result<()> {
    let mut byte = [0];
    reader
        .read_exact(&mut byte)
        .context("the first byte did not arrive")?;
    if byte != [wanted] {
        bail!("the first byte is {}, not {wanted}", byte[0]);
    }
    Ok(())
}
