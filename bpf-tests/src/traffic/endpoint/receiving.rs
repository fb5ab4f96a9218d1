//! How an endpoint receives and checks.

use std::io::Read;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::half::{Half, lock};
use super::{Endpoint, Introduction};
use crate::traffic::ending::Ending;
use crate::traffic::pattern::Pattern;

/// A reader that pauses: so long, each time it has read so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// Bytes between pauses.
    pub every: u64,
    /// Length of a pause.
    pub pause: Duration,
}

impl Endpoint {
    /// Receives the peer's introduction; what follows is checked against that stream.
    pub fn meet(&self) -> Result<Introduction> {
        let mut half = lock(&self.receiving);
        let _waiting = self.waiting("receiving the introduction");
        let mut words = [[0; 8]; 2];
        for word in &mut words {
            let read = (&self.stream).read_exact(word);
            read.map_err(|error| self.failed("receiving the introduction", &half, error))?;
            half.hash.update(word);
        }
        let [seed, bytes] = words.map(u64::from_le_bytes);
        half.pattern = Pattern::new(seed);
        Ok(Introduction { seed, bytes })
    }

    /// Receives and checks the next `bytes` of the expected stream.
    pub fn receive(&self, bytes: u64) -> Result<()> {
        let stalls = Stalls {
            every: u64::MAX,
            pause: Duration::ZERO,
        };
        self.receive_stalling(bytes, stalls)
    }

    /// Receives and checks the next `bytes`, pausing on the way.
    pub fn receive_stalling(&self, bytes: u64, stalls: Stalls) -> Result<()> {
        let mut half = lock(&self.receiving);
        let end = half.hash.bytes() + bytes;
        let waiting = self.waiting(&format!("receiving up to byte {end}"));
        let mut next_stall = half.hash.bytes().saturating_add(stalls.every);
        while half.hash.bytes() < end {
            let most = end - half.hash.bytes();
            match self.read(&mut half, most)? {
                Ok(_some) => {}
                Err(ending) => bail!(
                    "{}: {ending} came at byte {} where {end} bytes were expected",
                    self.name,
                    half.hash.bytes()
                ),
            }
            waiting.at(half.hash.bytes());
            if half.hash.bytes() >= next_stall {
                next_stall += stalls.every;
                thread::sleep(stalls.pause);
            }
        }
        Ok(())
    }

    /// Receives and checks everything up to the end of the stream, and says how it ended.
    pub fn receive_to_end(&self) -> Result<Ending> {
        let mut half = lock(&self.receiving);
        let waiting = self.waiting("receiving to the end");
        loop {
            match self.read(&mut half, u64::MAX)? {
                Ok(_some) => waiting.at(half.hash.bytes()),
                Err(ending) => return Ok(ending),
            }
        }
    }

    /// Receives everything up to the end without looking at it, and says how the stream ended.
    pub fn drain_to_end(&self) -> Result<Ending> {
        let mut half = lock(&self.receiving);
        let _waiting = self.waiting("draining to the end");
        let room = half.room(u64::MAX);
        loop {
            match (&self.stream).read(&mut half.buffer[..room]) {
                Ok(0) => return Ok(Ending::Finished),
                Ok(_some) => {}
                Err(error) => {
                    return Ending::from_error(&error)
                        .ok_or_else(|| self.failed("draining", &half, error));
                }
            }
        }
    }

    /// Waits for the FIN, before which no further byte may come.
    pub fn receive_fin(&self) -> Result<()> {
        let before = self.received();
        let ending = self.receive_to_end()?;
        let name = &self.name;
        ensure!(
            ending == Ending::Finished,
            "{name}: {ending} came instead of a FIN after byte {before}"
        );
        let more = self.received() - before;
        ensure!(
            more == 0,
            "{name}: {more} bytes came after byte {before} where a FIN was expected"
        );
        Ok(())
    }

    /// Reads once; the inner error is the end of the stream.
    fn read(&self, half: &mut Half, most: u64) -> Result<Result<u64, Ending>> {
        let room = half.room(most);
        match (&self.stream).read(&mut half.buffer[..room]) {
            Ok(0) => Ok(Err(Ending::Finished)),
            Ok(bytes) => {
                let Half {
                    pattern,
                    hash,
                    buffer,
                } = half;
                pattern
                    .check(hash.bytes(), &buffer[..bytes])
                    .with_context(|| {
                        format!("{}: wrong bytes (stream {:#x})", self.name, pattern.seed())
                    })?;
                hash.update(&buffer[..bytes]);
                Ok(Ok(bytes as u64))
            }
            Err(error) => match Ending::from_error(&error) {
                Some(ending) => Ok(Err(ending)),
                None => Err(self.failed("receiving", half, error)),
            },
        }
    }
}
