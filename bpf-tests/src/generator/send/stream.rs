//! A TCP stream as an outlet for messages.

use std::io::{IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Outlet;
use crate::generator::block::{Block, Body};
use crate::generator::header::{HEADER, Header};
use crate::generator::sys;

/// Windows of the block that are handed over in one call: half a mebibyte.
const AT_ONCE: usize = 4;

/// One connected stream.
pub(super) struct StreamSocket {
    socket: TcpStream,
}

impl StreamSocket {
    /// `patience` is how long one step may take before the run fails.
    pub(super) fn new(socket: TcpStream, patience: Duration) -> Result<Self> {
        // A message is sent when it is due, not when more have joined it.
        socket.set_nodelay(true).context("setting TCP_NODELAY")?;
        let timeouts = socket
            .set_write_timeout(Some(patience))
            .and_then(|()| socket.set_read_timeout(Some(patience)));
        timeouts.context("setting a timeout")?;
        Ok(Self { socket })
    }
}

impl Outlet for StreamSocket {
    fn send(&mut self, block: &Block, header: &Header) -> Result<()> {
        let head = header.to_bytes();
        let body = Body::of(header);
        let total = HEADER + body.length();
        let mut done = 0;
        while done < total {
            let slices = slices(&head, block, &body, done);
            match self.socket.write_vectored(&slices) {
                Ok(0) => bail!("the stream takes nothing in message {}", header.number),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("message {}, byte {done}", header.number));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: &Header) -> Result<Option<u64>> {
        let ended = self
            .socket
            .write_all(&end.to_bytes())
            .and_then(|()| self.socket.shutdown(Shutdown::Write));
        ended.context("ending the stream")?;
        // The receiver closes when it has read everything.
        match self.socket.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => bail!("the receiver answered, though it never does"),
            Err(error) => return Err(error).context("waiting for the receiver to close"),
        }
        let retransmits = sys::retransmits(&self.socket).context("asking for TCP_INFO")?;
        Ok(Some(retransmits))
    }
}

/// What is left of a message after `done` bytes, or the beginning of it.
fn slices<'a>(head: &'a [u8], block: &'a Block, body: &Body, done: usize) -> Vec<IoSlice<'a>> {
    let mut slices = Vec::with_capacity(AT_ONCE + 1);
    if done < HEADER {
        slices.push(IoSlice::new(&head[done..]));
    }
    let mut offset = done.saturating_sub(HEADER);
    for _ in 0..AT_ONCE {
        let window = block.window(body, offset);
        if window.is_empty() {
            break;
        }
        offset += window.len();
        slices.push(IoSlice::new(window));
    }
    slices
}
