//! As many bytes as go, over several streams, until it is dropped: what arrives is counted, and nobody
//! waits for what is still under way.
//!
//! Streams may be paced by whoever sends, as an application of a constant rate is. No byte is looked
//! at: the contract's cases do that.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Bytes of one write, and the most of one read.
const BLOCK: usize = 128 << 10;

/// Bytes of one write of a paced sender.
const PACED_BLOCK: usize = 16 << 10;

/// Streams that are flooded until this is dropped.
#[derive(Debug)]
pub struct Flood {
    streams: Vec<(TcpStream, TcpStream)>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    arrived: AtomicU64,
    over: AtomicBool,
    failure: Mutex<Option<io::Error>>,
}

impl Flood {
    /// Sends from every near end to its far end, at `rate` bits per second over all of them, or as
    /// fast as it goes.
    ///
    /// # Errors
    /// When a stream cannot be shared between threads, or no thread started.
    pub fn start(streams: Vec<(TcpStream, TcpStream)>, rate: Option<u64>) -> Result<Self> {
        let mut flood = Self {
            streams: Vec::new(),
            threads: Vec::new(),
            shared: Arc::default(),
        };
        let share = rate.map(|rate| rate as f64 / 8.0 / streams.len().max(1) as f64);
        for (near, far) in streams {
            // A capped stream may stand still for as long as others take.
            near.set_write_timeout(None)?;
            far.set_read_timeout(None)?;
            let (sender, receiver) = (near.try_clone()?, far.try_clone()?);
            flood.streams.push((near, far));
            flood.run("flood-near", move || match share {
                Some(share) => send_paced(&sender, share),
                None => send(&sender),
            })?;
            let counted = Arc::clone(&flood.shared);
            flood.run("flood-far", move || receive(&receiver, &counted.arrived))?;
        }
        Ok(flood)
    }

    /// Bytes that have arrived so far, over all streams.
    ///
    /// # Errors
    /// When a stream has failed.
    pub fn arrived(&self) -> Result<u64> {
        let failure = self.shared.failure.lock();
        if let Some(error) = failure.unwrap_or_else(PoisonError::into_inner).as_ref() {
            bail!("a stream of the flood broke off: {error}");
        }
        Ok(self.shared.arrived.load(Ordering::Relaxed))
    }

    fn run(
        &mut self,
        name: &str,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(move || {
            let ended = work();
            if let Err(error) = ended
                && !shared.over.load(Ordering::Relaxed)
            {
                let failure = shared.failure.lock();
                *failure.unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        self.threads
            .push(spawned.context("cannot start a thread of the flood")?);
        Ok(())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for (near, far) in &self.streams {
            // They may be gone already.
            drop(near.shutdown(Shutdown::Both));
            drop(far.shutdown(Shutdown::Both));
        }
        for thread in self.threads.drain(..) {
            // It only counts.
            drop(thread.join());
        }
    }
}

fn send(mut near: &TcpStream) -> io::Result<()> {
    let block = vec![0x5a; BLOCK];
    loop {
        near.write_all(&block)?;
    }
}

/// Sends `rate` bytes per second; what could not be sent in time is not made up for by bursts.
fn send_paced(mut near: &TcpStream, rate: f64) -> io::Result<()> {
    let block = vec![0x5a; PACED_BLOCK];
    let interval = Duration::from_secs_f64(PACED_BLOCK as f64 / rate.max(1.0));
    let mut due = Instant::now();
    loop {
        near.write_all(&block)?;
        due += interval;
        let now = Instant::now();
        match due.checked_duration_since(now) {
            Some(early) => thread::sleep(early),
            // A few blocks late is the timer's doing, more is the stream's.
            None if now - due > interval * 64 => due = now,
            None => {}
        }
    }
}

fn receive(mut far: &TcpStream, arrived: &AtomicU64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match far.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => arrived.fetch_add(count as u64, Ordering::Relaxed),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn what_arrives_is_counted_until_the_flood_ends() {
        for rate in [None, Some(800_000_000)] {
            let flood = Flood::start(vec![pair(), pair()], rate).unwrap();
            while flood.arrived().unwrap() < 1 << 20 {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let (near, far) = pair();
        let breaking = far.try_clone().unwrap();
        let flood = Flood::start(vec![(near, far)], None).unwrap();
        breaking.shutdown(Shutdown::Both).unwrap();
        while flood.arrived().is_ok() {
            thread::yield_now();
        }
    }
}
