//! A UDP socket as an outlet for messages: each becomes as many datagrams as it takes, each with
//! the message's header.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Outlet;
use crate::clock;
use crate::generator::block::{Block, Body};
use crate::generator::header::{HEADER, Header};

/// How often the end is said: any single datagram may be lost.
const ENDS: u32 = 5;
/// From one to the next.
const END_INTERVAL: Duration = Duration::from_millis(20);

/// One connected socket.
pub(super) struct DatagramSocket {
    socket: UdpSocket,
    /// The datagram under construction, of the full length.
    buffer: Vec<u8>,
}

impl DatagramSocket {
    /// `datagram` is the payload of a full datagram, bytes, with its header.
    pub(super) fn new(socket: UdpSocket, datagram: u16) -> Self {
        let buffer = vec![0; usize::from(datagram).max(HEADER + 1)];
        Self { socket, buffer }
    }

    fn send_one(&self, datagram: &[u8]) -> Result<()> {
        match self.socket.send(datagram) {
            Ok(_) => Ok(()),
            // Dropped on the way out: it counts as lost, as it would be further on.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(error).context("nobody listens there")
            }
            Err(error) => Err(error).context("sending a datagram"),
        }
    }
}

impl Outlet for DatagramSocket {
    fn send(&mut self, block: &Block, header: &Header) -> Result<()> {
        let body = Body::of(header);
        let chunk = self.buffer.len() - HEADER;
        let mut offset = 0;
        loop {
            let head = Header {
                offset: offset as u32,
                ..*header
            };
            self.buffer[..HEADER].copy_from_slice(&head.to_bytes());
            let window = block.window(&body, offset);
            let part = &window[..window.len().min(chunk)];
            let length = HEADER + part.len();
            self.buffer[HEADER..length].copy_from_slice(part);
            self.send_one(&self.buffer[..length])
                .with_context(|| format!("message {}", header.number))?;
            offset += part.len();
            if offset >= body.length() {
                return Ok(());
            }
        }
    }

    fn finish(self: Box<Self>, end: &Header) -> Result<Option<u64>> {
        let datagram = end.to_bytes();
        for _ in 0..ENDS {
            self.send_one(&datagram)?;
            clock::sleep_until(clock::now() + clock::nanoseconds(END_INTERVAL))?;
        }
        Ok(None)
    }
}
