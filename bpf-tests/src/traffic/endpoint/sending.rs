//! How an endpoint sends.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{SendFlags, send, sockopt};

use super::Endpoint;
use super::half::{BLOCK, Half, lock};
use crate::traffic::ending::Ending;
use crate::traffic::seed::Draw;

/// A socket that has taken nothing for so long is stuck: some hundred times what a reader that
/// reads, or a kernel that moves, needs on a busy machine.
const STUCK_AFTER: Duration = Duration::from_millis(300);
/// Pause between two looks at a socket that takes nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// How fast an endpoint sends.
#[derive(Clone, Debug)]
pub enum Pace {
    /// So many bytes, then a pause of this length, again and again.
    Every(u64, Duration),
    /// As fast as the socket takes it.
    Full,
    /// Random sizes up to the first, after random pauses up to the second.
    Random(Draw, u64, Duration),
}

impl Endpoint {
    /// Sends the seed of its stream and how many bytes of it will follow. These 16 bytes count as
    /// the first of the stream.
    pub fn introduce(&self, bytes: u64) -> Result<()> {
        let mut half = lock(&self.sending);
        let words = [half.pattern.seed(), bytes].map(u64::to_le_bytes).concat();
        let room = half.room(words.len() as u64);
        half.buffer[..room].copy_from_slice(&words);
        self.write_all(&mut half, room)
    }

    /// Sends the next `bytes` of the stream, as fast as the socket takes them.
    pub fn send(&self, bytes: u64) -> Result<()> {
        self.send_paced(bytes, Pace::Full)
    }

    /// Sends the next `bytes` of the stream at this pace.
    pub fn send_paced(&self, bytes: u64, mut pace: Pace) -> Result<()> {
        let mut half = lock(&self.sending);
        let end = half.hash.bytes() + bytes;
        let waiting = self.waiting(&format!("sending up to byte {end}"));
        while half.hash.bytes() < end {
            let (most, pause) = pace.next_step();
            thread::sleep(pause);
            let left = end - half.hash.bytes();
            let part = half.prepare(most.min(left));
            self.write_all(&mut half, part)?;
            waiting.at(half.hash.bytes());
        }
        Ok(())
    }

    /// Sends the next byte of the stream as urgent data.
    pub fn send_urgent(&self) -> Result<()> {
        let mut half = lock(&self.sending);
        let _waiting = self.waiting("sending an urgent byte");
        let part = half.prepare(1);
        let sent = send(&self.stream, &half.buffer[..part], SendFlags::OOB);
        let sent = sent.map_err(|errno| self.failed("sending", &half, errno.into()))?;
        half.advance(sent);
        Ok(())
    }

    /// Sends as many of the next `most` bytes as the socket takes without waiting.
    pub fn offer(&self, most: u64) -> Result<u64> {
        let mut half = lock(&self.sending);
        let start = half.hash.bytes();
        while half.hash.bytes() < start + most {
            let left = start + most - half.hash.bytes();
            let part = half.prepare(left);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.stream, &half.buffer[..part], flags) {
                Ok(taken) => half.advance(taken),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(errno) => return Err(self.failed("sending", &half, errno.into())),
            }
        }
        Ok(half.hash.bytes() - start)
    }

    /// Sends as many of the next `most` bytes as everything on the way takes while nobody reads:
    /// until the socket has taken nothing for a while.
    pub fn offer_until_stuck(&self, most: u64) -> Result<u64> {
        let waiting = self.waiting("sending until stuck");
        let (mut taken, mut moved) = (0, Instant::now());
        while taken < most && moved.elapsed() < STUCK_AFTER {
            let more = self.offer(most - taken)?;
            if more > 0 {
                (taken, moved) = (taken + more, Instant::now());
                waiting.at(taken);
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(taken)
    }

    /// Sends until the connection breaks; fails if `most` bytes were taken before that.
    pub fn send_until_reset(&self, most: u64) -> Result<()> {
        let mut half = lock(&self.sending);
        let waiting = self.waiting("sending until the connection breaks");
        while half.hash.bytes() < most {
            let part = half.prepare(most);
            match (&self.stream).write(&half.buffer[..part]) {
                Ok(taken) => half.advance(taken),
                Err(error) if Ending::from_error(&error).is_some() => return Ok(()),
                Err(error) => return Err(self.failed("sending", &half, error)),
            }
            waiting.at(half.hash.bytes());
        }
        bail!("{}: {most} bytes were taken and no RST came", self.name)
    }

    /// Sends a FIN.
    pub fn finish(&self) -> Result<()> {
        self.stream
            .shutdown(Shutdown::Write)
            .with_context(|| format!("{}: shutdown", self.name))
    }

    /// Closes the socket with an RST.
    pub fn reset(self) -> Result<()> {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        drop(self);
        Ok(())
    }

    fn write_all(&self, half: &mut Half, bytes: usize) -> Result<()> {
        let mut written = 0;
        while written < bytes {
            match (&self.stream).write(&half.buffer[written..bytes]) {
                Ok(taken) => {
                    half.hash.update(&half.buffer[written..written + taken]);
                    written += taken;
                }
                Err(error) => return Err(self.failed("sending", half, error)),
            }
        }
        Ok(())
    }
}

impl Pace {
    /// The most bytes of the next write, and the pause before it.
    fn next_step(&mut self) -> (u64, Duration) {
        match self {
            Self::Every(bytes, pause) => (*bytes, *pause),
            Self::Full => (BLOCK as u64, Duration::ZERO),
            Self::Random(draw, most_bytes, most_pause) => {
                (draw.within(1..*most_bytes + 1), draw.pause(*most_pause))
            }
        }
    }
}
