//! The answering end of a crowd: one thread, one epoll, everything sent back as it came.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use anyhow::{Context as _, Result};
use rustix::event::epoll;

/// Bytes read at once: a few stamps.
const BUFFER: usize = 4_096;

/// Sends back whatever comes on every connection that arrives at `listener`, for ever.
///
/// # Errors
/// When a connection cannot be accepted: no descriptors are left, say.
pub fn answer(listener: TcpListener) -> Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    listener.set_nonblocking(true)?;
    watch(&epoll, &listener)?;
    let mut streams: HashMap<RawFd, TcpStream> = HashMap::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("epoll_wait"),
        }
        for event in &events {
            let number = event.data.u64() as RawFd;
            match streams.get(&number) {
                None => accept_all(&epoll, &listener, &mut streams)?,
                Some(stream) if send_back(stream) => {}
                Some(_) => drop(streams.remove(&number)),
            }
        }
    }
}

fn watch(epoll: impl AsFd, what: &(impl AsFd + AsRawFd)) -> Result<()> {
    let data = epoll::EventData::new_u64(what.as_raw_fd() as u64);
    epoll::add(epoll, what, data, epoll::EventFlags::IN).context("epoll_ctl")
}

fn accept_all(
    epoll: impl AsFd,
    listener: &TcpListener,
    streams: &mut HashMap<RawFd, TcpStream>,
) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                watch(&epoll, &stream)?;
                streams.insert(stream.as_raw_fd(), stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("accepting a connection of the crowd"),
        }
    }
}

/// Whether the connection goes on.
fn send_back(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; BUFFER];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        // A few bytes always fit into a queue that is read as it fills.
        Ok(count) => stream.write_all(&buffer[..count]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
