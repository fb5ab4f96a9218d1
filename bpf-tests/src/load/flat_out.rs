//! Messages one after the other, as fast as they go: what arrives in windows of time.
//!
//! ```text
//!   sender     64 KiB 64 KiB 64 KiB │ 512 B 512 B 512 B 512 B ...             the last one
//!                          turn_to ─┘
//!   receiver   64 KiB 64 KiB 64 KiB ... │ 512 B │◄──── window ────►│ ... until all that was sent is here
//!                                arrived ┘ lead    bytes counted, work observed
//! ```
//!
//! The stream does not pause between two sizes: a relay's buffers, once full, stay full, and so a
//! window sees what lasts and not how they fill. A write is one message, as an application that
//! streams frames makes it, and a read asks for as much. Every byte is compared, behind the header
//! with a pattern that all messages share. The same streams can be used again: nothing is left in
//! them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::traffic::Pattern;

/// Bytes at the start of a message: its number, and the size of the one that follows it.
const HEADER: usize = 16;

/// The most bytes of a message: what is more was not written by the sender.
const LARGEST: usize = 64 << 20;

/// Any would do: the messages of all streams carry the same bytes.
const SEED: u64 = 0x5C15_7EA4;

/// As the size of what follows: nothing does.
const NOTHING: usize = 0;

/// How long a new size may take to arrive everywhere. Buffers of hundreds of megabytes are before
/// it, on a line of 1 Gb/s perhaps.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked for.
const TURN_POLL: Duration = Duration::from_millis(2);

/// Streams that are kept full.
#[derive(Debug)]
pub struct FlatOut {
    streams: usize,
    /// Bytes of the messages that are wanted.
    size: AtomicUsize,
    /// Streams on which the wanted size has arrived.
    turned: AtomicUsize,
    arrived: Mutex<Arrived>,
    failed: AtomicBool,
}

/// What was read so far, on all streams together.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    bytes: u64,
    /// When the last of them were read.
    at: Instant,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlatOutReport {
    /// Bytes read in the window.
    pub bytes: u64,
    /// From the last read before the window to the last one in it, seconds: at 1 Gb/s a read of
    /// 64 KiB more or less is 0.2 % of a window of 300 ms.
    pub seconds: f64,
}

impl FlatOutReport {
    /// Bits per second that arrived in the window.
    pub fn bits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.seconds
    }
}

impl FlatOut {
    /// Sends messages of `size` bytes from every `near` to its `far`, while `conduct` takes
    /// [windows](Self::window) of it and [changes the size](Self::turn_to).
    ///
    /// # Errors
    /// When a stream fails, a message is lost, changed or out of order, or `conduct` does.
    pub fn run<T>(
        pairs: &[(TcpStream, TcpStream)],
        size: usize,
        conduct: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        check(size)?;
        let load = Self {
            streams: pairs.len(),
            size: AtomicUsize::new(size),
            turned: AtomicUsize::new(pairs.len()),
            arrived: Mutex::new(Arrived {
                bytes: 0,
                at: Instant::now(),
            }),
            failed: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let load = &load;
            let threads: Vec<_> = pairs
                .iter()
                .flat_map(|(near, far)| {
                    [
                        // First, because its error is the cause of the other's.
                        scope.spawn(move || load.receive(far, size)),
                        scope.spawn(move || load.send(near, size)),
                    ]
                })
                .collect();
            let conducted = conduct(load);
            load.size.store(NOTHING, Ordering::Relaxed);
            threads.into_iter().try_for_each(end)?;
            conducted
        })
    }

    /// Goes on with messages of `size` bytes; returns when they arrive on every stream.
    ///
    /// # Errors
    /// When they do not, or the size cannot hold a message's header.
    pub fn turn_to(&self, size: usize) -> Result<()> {
        check(size)?;
        if self.size.load(Ordering::Relaxed) == size {
            return Ok(());
        }
        self.turned.store(0, Ordering::Release);
        self.size.store(size, Ordering::Release);
        let give_up = Instant::now() + TURN_TIMEOUT;
        while self.turned.load(Ordering::Acquire) < self.streams {
            ensure!(!self.failed.load(Ordering::Relaxed), "a stream failed");
            ensure!(
                Instant::now() < give_up,
                "messages of {size} bytes did not arrive in {} s",
                TURN_TIMEOUT.as_secs()
            );
            std::thread::sleep(TURN_POLL);
        }
        Ok(())
    }

    /// What arrives while `observe` runs, and what it made of it: it is told how long to take.
    ///
    /// # Errors
    /// When `observe` does.
    pub fn window<T>(
        &self,
        duration: Duration,
        observe: impl FnOnce(Duration) -> Result<T>,
    ) -> Result<(FlatOutReport, T)> {
        let (start, before) = (Instant::now(), *self.arrived());
        let observed = observe(duration);
        let (whole, after) = (start.elapsed(), *self.arrived());
        let bytes = after.bytes - before.bytes;
        let seconds = match bytes {
            // A stall: it lasted at least as long.
            0 => whole,
            _ => after.at - before.at,
        };
        let seconds = seconds.as_secs_f64();
        Ok((FlatOutReport { bytes, seconds }, observed?))
    }

    /// Nobody panics while holding it, and two numbers are whole at any time.
    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, mut near: &TcpStream, mut size: usize) -> Result<()> {
        let mut message = message_of(size);
        for number in 0_u64.. {
            let next = self.size.load(Ordering::Acquire);
            message[..8].copy_from_slice(&number.to_le_bytes());
            message[8..HEADER].copy_from_slice(&(next as u64).to_le_bytes());
            near.write_all(&message)
                .with_context(|| format!("sending message {number}"))?;
            if next == NOTHING {
                break;
            }
            if next != size {
                size = next;
                message = message_of(size);
            }
        }
        Ok(())
    }

    fn receive(&self, far: &TcpStream, size: usize) -> Result<()> {
        let received = self.read_all(far, size);
        if received.is_err() {
            self.failed.store(true, Ordering::Relaxed);
            // Whoever sends would wait for ever. A stream that is gone already needs no end.
            drop(far.shutdown(Shutdown::Both));
        }
        received
    }

    fn read_all(&self, mut far: &TcpStream, mut size: usize) -> Result<()> {
        let mut expected = message_of(size);
        let mut message = vec![0; size];
        for number in 0_u64.. {
            let mut filled = 0;
            while filled < size {
                let read = far.read(&mut message[filled..]);
                let read = read.with_context(|| format!("message {number} did not arrive"))?;
                ensure!(read > 0, "the stream ended within message {number}");
                // At once, while it is in the cache.
                let new = filled.max(HEADER.min(filled + read))..filled + read;
                ensure!(
                    message[new.clone()] == expected[new.clone()],
                    "message {number} was changed between its bytes {} and {}",
                    new.start,
                    new.end
                );
                filled += read;
                let mut arrived = self.arrived();
                arrived.bytes += read as u64;
                arrived.at = Instant::now();
            }
            let [carried, next] = [&message[..8], &message[8..HEADER]].map(number_in);
            ensure!(
                carried == number,
                "message {carried} arrived in the place of {number}"
            );
            let next = next as usize;
            if next == NOTHING {
                break;
            }
            if next != size {
                check(next)?;
                size = next;
                expected = message_of(size);
                message.resize(size, 0);
                self.turned.fetch_add(1, Ordering::Release);
            }
        }
        Ok(())
    }
}

fn check(size: usize) -> Result<()> {
    ensure!(
        (HEADER..=LARGEST).contains(&size),
        "a message of {size} bytes: it must hold its header of {HEADER} and have at most {LARGEST}"
    );
    Ok(())
}

/// A message, its header still to be written.
fn message_of(size: usize) -> Vec<u8> {
    let mut message = vec![0; size];
    Pattern::new(SEED).fill(0, &mut message);
    message
}

fn number_in(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
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

    const WINDOW: Duration = Duration::from_millis(20);

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
    fn what_arrives_in_a_window_is_counted_and_the_streams_can_be_used_again() {
        let pairs = [pair(), pair()];
        for _ in 0..2 {
            let window = |load: &FlatOut| load.window(WINDOW, pause);
            let (report, observed) = FlatOut::run(&pairs, 4_096, window).unwrap();
            assert!(report.bytes > 0 && report.seconds > 0.0, "{report:?}");
            assert_eq!(observed, 7);
        }
    }

    #[test]
    fn the_size_changes_without_a_pause() {
        let pairs = [pair(), pair()];
        FlatOut::run(&pairs, 65_536, |load| {
            for size in [HEADER, 65_536, 4_096, 4_096, 1 << 20] {
                load.turn_to(size)?;
                assert!(load.window(WINDOW, pause)?.0.bytes > 0);
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_message_out_of_place_or_changed_is_an_error() {
        let turn = |load: &FlatOut| load.turn_to(512);
        for (at, complaint) in [
            (0, "in the place of 0"),
            (HEADER, "changed"),
            (4_095, "changed"),
        ] {
            let pairs = [pair()];
            let mut message = message_of(4_096);
            message[..HEADER].fill(0);
            message[at] ^= 1;
            (&pairs[0].0).write_all(&message).unwrap();
            let error = FlatOut::run(&pairs, 4_096, turn).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn a_message_too_small_for_its_header_is_refused() {
        assert!(FlatOut::run(&[], HEADER - 1, |_| Ok(())).is_err());
        let turn = |load: &FlatOut| load.turn_to(LARGEST + 1);
        assert!(FlatOut::run(&[], HEADER, turn).is_err());
    }
}
