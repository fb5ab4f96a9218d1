//! Messages of one size, each due at its own moment: an open loop.
//!
//! A message carries the moment it was *due*, not the moment it was sent, so a sender that is
//! held up does not hide the delay from the figures.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock;

/// Bytes at the start of a message: when it was due (nanoseconds, monotonic) and its number.
const HEADER: usize = 16;

/// The time between the start of a run and its first message.
const LEAD: Duration = Duration::from_millis(1);

/// What to send, and when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageLoad {
    /// Bytes of one message, at least 16.
    pub size: usize,
    /// From one message to the next.
    pub interval: Duration,
    /// How many messages.
    pub count: u32,
}

/// What became of the messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageReport {
    /// From the moment a message was due to the moment its last byte was read, nanoseconds,
    /// ascending; one for each message.
    pub latencies_ns: Vec<u64>,
    /// By how much two messages in a row were apart in arriving, beyond what they were apart in
    /// being due, nanoseconds, without sign, ascending; one fewer than messages.
    pub jitter_ns: Vec<u64>,
    /// How late the sender itself began to write, nanoseconds, ascending.
    pub late_ns: Vec<u64>,
}

impl MessageLoad {
    /// Sends all messages into `sender` and reads them from `receiver`. The same pair of streams
    /// can be used again.
    ///
    /// # Errors
    /// When a message is lost, changed or out of order, or a socket fails.
    pub fn run(&self, sender: &TcpStream, receiver: &TcpStream) -> Result<MessageReport> {
        if self.size < HEADER {
            bail!(
                "a message of {} bytes cannot hold its header of {HEADER}",
                self.size
            );
        }
        let (sent, received) = std::thread::scope(|scope| {
            let sending = scope.spawn(|| self.send(sender));
            let received = self.receive(receiver);
            (sending.join(), received)
        });
        let Ok(sent) = sent else {
            bail!("the sender of messages panicked");
        };
        let (mut late_ns, mut latencies_ns) = (sent?, received?);
        let in_a_row = latencies_ns.windows(2);
        let mut jitter_ns: Vec<u64> = in_a_row.map(|two| two[0].abs_diff(two[1])).collect();
        jitter_ns.sort_unstable();
        late_ns.sort_unstable();
        latencies_ns.sort_unstable();
        Ok(MessageReport {
            latencies_ns,
            jitter_ns,
            late_ns,
        })
    }

    fn send(&self, mut sender: &TcpStream) -> Result<Vec<u64>> {
        clock::wake_on_time()?;
        let mut message = vec![0; self.size];
        let mut late_ns = Vec::with_capacity(self.count as usize);
        let interval_ns = clock::nanoseconds(self.interval);
        let mut due_ns = clock::now() + clock::nanoseconds(LEAD);
        for number in 0..u64::from(self.count) {
            clock::sleep_until(due_ns)?;
            message[..8].copy_from_slice(&due_ns.to_le_bytes());
            message[8..HEADER].copy_from_slice(&number.to_le_bytes());
            late_ns.push(clock::now().saturating_sub(due_ns));
            sender
                .write_all(&message)
                .with_context(|| format!("sending message {number}"))?;
            due_ns += interval_ns;
        }
        Ok(late_ns)
    }

    fn receive(&self, mut receiver: &TcpStream) -> Result<Vec<u64>> {
        let mut message = vec![0; self.size];
        let mut latencies_ns = Vec::with_capacity(self.count as usize);
        for number in 0..u64::from(self.count) {
            receiver
                .read_exact(&mut message)
                .with_context(|| format!("message {number} did not arrive"))?;
            let now_ns = clock::now();
            let (due_ns, carried) = header(&message);
            if carried != number {
                bail!("message {carried} arrived in the place of {number}");
            }
            latencies_ns.push(now_ns.saturating_sub(due_ns));
        }
        Ok(latencies_ns)
    }
}

fn header(message: &[u8]) -> (u64, u64) {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    (word(0), word(8))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    const LOAD: MessageLoad = MessageLoad {
        size: 64,
        interval: Duration::from_micros(50),
        count: 500,
    };

    fn streams() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn every_message_is_timed_in_order_and_the_streams_can_be_used_again() {
        let (near, far) = streams();
        for _ in 0..2 {
            let report = LOAD.run(&near, &far).unwrap();
            assert_eq!(
                (report.latencies_ns.len(), report.late_ns.len()),
                (500, 500)
            );
            assert!(report.latencies_ns.is_sorted() && report.late_ns.is_sorted());
            assert!(report.jitter_ns.is_sorted() && report.jitter_ns.len() == 499);
            // Latency counts from when a message was due, so it holds the sender's own delay.
            assert!(report.latencies_ns[499] >= report.late_ns[0]);
        }
    }

    #[test]
    fn a_message_out_of_place_is_an_error() {
        let (near, far) = streams();
        (&near).write_all(&[7; 64]).unwrap();
        let error = LOAD.run(&near, &far).unwrap_err().to_string();
        assert!(error.contains("in the place of 0"), "{error}");
    }

    #[test]
    fn a_message_too_small_for_its_header_is_refused() {
        let (near, far) = streams();
        assert!(MessageLoad { size: 15, ..LOAD }.run(&near, &far).is_err());
    }
}
