//! Messages of one size, one after the other, as fast as they go: what arrives in a window of time.
//!
//! ```text
//!   sender     write(size) write(size) ...                 stop ── the message begun is finished
//!   receiver   read ...│◄────────── window ──────────►│ read ... until all that was sent is here
//!                lead  │ bytes counted, work observed │
//! ```
//!
//! A write is one message, as an application that streams frames makes it, and a read asks for as
//! much. The same pair of streams can be used again: nothing is left in it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Bytes at the start of a message: its number, and whether it is the last.
const HEADER: usize = 16;

/// What to send, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlatOut {
    /// Bytes of one message.
    pub size: usize,
    /// Time before the window: queues fill, senders find their pace.
    pub lead: Duration,
    /// The window.
    pub duration: Duration,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlatOutReport {
    /// Bytes read in the window.
    pub bytes: u64,
    /// How long the window was, seconds.
    pub seconds: f64,
}

impl FlatOutReport {
    /// Bits per second that arrived in the window.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds
    }
}

impl FlatOut {
    /// Sends from every `near` to its `far`, and answers with what all of them received in the
    /// window, and with what `observe` made of it: it is called at the window's start with its
    /// duration, and the window ends when it returns.
    ///
    /// # Errors
    /// When a stream fails, or a message is lost, changed or out of order.
    pub fn run<T>(
        &self,
        pairs: &[(TcpStream, TcpStream)],
        observe: impl FnOnce(Duration) -> Result<T>,
    ) -> Result<(FlatOutReport, T)> {
        ensure!(
            self.size >= HEADER,
            "a message of {} bytes cannot hold its header of {HEADER}",
            self.size
        );
        let (over, arrived) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let threads: Vec<_> = pairs
                .iter()
                .flat_map(|(near, far)| {
                    [
                        // First, because its error is the cause of the other's.
                        scope.spawn(|| self.receive(far, &arrived)),
                        scope.spawn(|| self.send(near, &over)),
                    ]
                })
                .collect();
            std::thread::sleep(self.lead);
            let (start, before) = (Instant::now(), arrived.load(Ordering::Relaxed));
            let observed = observe(self.duration);
            let bytes = arrived.load(Ordering::Relaxed) - before;
            let seconds = start.elapsed().as_secs_f64();
            over.store(true, Ordering::Relaxed);
            threads.into_iter().try_for_each(end)?;
            Ok((FlatOutReport { bytes, seconds }, observed?))
        })
    }

    fn send(&self, mut near: &TcpStream, over: &AtomicBool) -> Result<()> {
        let mut message = vec![0; self.size];
        let mut number = 0_u64;
        loop {
            let last = over.load(Ordering::Relaxed);
            message[..8].copy_from_slice(&number.to_le_bytes());
            message[8] = u8::from(last);
            near.write_all(&message)
                .with_context(|| format!("sending message {number}"))?;
            if last {
                return Ok(());
            }
            number += 1;
        }
    }

    fn receive(&self, far: &TcpStream, arrived: &AtomicU64) -> Result<()> {
        let received = self.read_all(far, arrived);
        if received.is_err() {
            // Whoever sends would wait for ever. A stream that is gone already needs no end.
            drop(far.shutdown(Shutdown::Both));
        }
        received
    }

    fn read_all(&self, mut far: &TcpStream, arrived: &AtomicU64) -> Result<()> {
        let mut message = vec![0; self.size];
        for number in 0_u64.. {
            let mut filled = 0;
            while filled < self.size {
                let read = far.read(&mut message[filled..]);
                let read = read.with_context(|| format!("message {number} did not arrive"))?;
                ensure!(read > 0, "the stream ended within message {number}");
                filled += read;
                arrived.fetch_add(read as u64, Ordering::Relaxed);
            }
            let mut carried = [0; 8];
            carried.copy_from_slice(&message[..8]);
            let carried = u64::from_le_bytes(carried);
            ensure!(
                carried == number,
                "message {carried} arrived in the place of {number}"
            );
            if message[8] == 1 {
                break;
            }
        }
        Ok(())
    }
}

fn end(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    let Ok(ended) = thread.join() else {
        bail!("a thread of the load panicked");
    };
    ended
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const LOAD: FlatOut = FlatOut {
        size: 4_096,
        lead: Duration::from_millis(5),
        duration: Duration::from_millis(20),
    };

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn pause(duration: Duration) -> Result<u32> {
        std::thread::sleep(duration);
        Ok(7)
    }

    #[test]
    fn what_arrives_in_the_window_is_counted_and_the_streams_can_be_used_again() {
        let pairs = [pair(), pair()];
        for _ in 0..2 {
            let (report, observed) = LOAD.run(&pairs, pause).unwrap();
            assert!(report.bytes > 0 && report.seconds >= 0.02, "{report:?}");
            assert_eq!(observed, 7);
        }
    }

    #[test]
    fn a_message_out_of_place_is_an_error() {
        let pairs = [pair()];
        (&pairs[0].0).write_all(&[9; 4_096]).unwrap();
        let error = LOAD.run(&pairs, pause).unwrap_err().to_string();
        assert!(error.contains("in the place of 0"), "{error}");
    }

    #[test]
    fn a_message_too_small_for_its_header_is_refused() {
        assert!(FlatOut { size: 8, ..LOAD }.run(&[], pause).is_err());
    }
}
