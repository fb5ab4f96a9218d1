//! The traffic generator: streams of messages such as instruments send, timed from the moment each
//! was *due* and checked byte by byte. The program `traffic` is this module with a command line.
//!
//! ```text
//!   Plan ──due──► send ──TCP or UDP──► … ──► receive ──► Decoder, Datagrams ──► Tally ──► Report
//!                  │ header: due, sent, number          │ every byte compared
//!                  └ body: a window of the Block        └ the same Block
//! ```
//!
//! The loop is open: what is late stays due when it was due, so a stall is felt by every message
//! that it holds up, as it would be by an instrument that cannot wait. Both ends are processes of
//! one host, in whatever namespaces, and read the same monotonic clock: one-way times are exact.
//!
//! From another program, [`Receiver`] and [`Sender`] start both ends in their places:
//!
//! ```text
//!   let binary = generator::find_traffic("release")?;
//!   let receiver = Receiver::start(&binary, &consumer, &Receive::new(address))?;
//!   let sender = Sender::start(&binary, &producer, &Profile::Deleria.load(), receiver.address())?;
//!   let (sent, report) = (sender.finish()?, receiver.finish()?);
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

mod block;
mod child;
pub mod cli;
mod datagrams;
mod decoder;
mod header;
mod plan;
mod profile;
mod receive;
mod report;
mod send;
mod sys;
mod tally;

pub use child::{Receiver, Sender, find_traffic};
pub use profile::Profile;
pub use report::{DatagramReport, Distribution, FORMAT, Report, SendReport, StreamReport};

/// The most streams of one run.
pub const MOST_STREAMS: u16 = 128;

/// The shortest and the longest message, bytes; the header is part of it.
pub const MESSAGE_SIZES: std::ops::RangeInclusive<u32> = 64..=64 << 20;

/// How messages travel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A TCP connection for each stream.
    Tcp,
    /// A UDP socket for each stream; a message is as many datagrams as it takes.
    Udp,
}

/// When messages are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each as soon as the socket has taken the one before: no moment is due.
    FlatOut,
    /// Evenly, so that all streams together make this rate.
    Rate {
        /// Bits of messages per second.
        bits_per_second: u64,
    },
    /// Several at once on every stream, then none for a while.
    Bursts {
        /// Messages of one burst.
        messages: u32,
        /// From the start of one burst to the next.
        every: Duration,
    },
}

/// What a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How messages travel.
    pub protocol: Protocol,
    /// Streams side by side.
    pub streams: u16,
    /// Bytes of a message.
    pub message_size: u32,
    /// When messages are due.
    pub pace: Pace,
    /// For how long messages are due.
    pub duration: Duration,
    /// Payload of a full datagram with UDP, bytes.
    pub datagram: u16,
    /// How long one step may take before the run fails.
    pub patience: Duration,
    /// Names the run and seeds its bytes.
    pub run: u64,
}

/// What a receiver waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Where to listen; port 0 is a free one.
    pub listen: SocketAddr,
    /// How messages travel.
    pub protocol: Protocol,
    /// How many streams will come.
    pub streams: u16,
    /// So much of the beginning is left out of goodput and distributions.
    pub warm_up: Duration,
    /// How long nothing may come before the run fails; with UDP, before it ends.
    pub patience: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            protocol: Protocol::Tcp,
            streams: 1,
            message_size: 128 << 10,
            pace: Pace::FlatOut,
            duration: Duration::from_secs(5),
            // What fits into an Ethernet frame of 1500 with IPv6 and UDP headers, and some room.
            datagram: 1_400,
            patience: Duration::from_secs(30),
            run: 1,
        }
    }
}

impl Load {
    /// Whether a sender can send it.
    ///
    /// # Errors
    /// In one sentence why not.
    pub fn check(&self) -> Result<()> {
        check_streams(self.streams)?;
        ensure!(
            MESSAGE_SIZES.contains(&self.message_size),
            "a message has {} to {} bytes, not {}",
            MESSAGE_SIZES.start(),
            MESSAGE_SIZES.end(),
            self.message_size
        );
        ensure!(
            usize::from(self.datagram) > header::HEADER,
            "a datagram of {} bytes has no room behind its header of {}",
            self.datagram,
            header::HEADER
        );
        let idle = match self.pace {
            Pace::FlatOut => false,
            Pace::Rate { bits_per_second } => bits_per_second == 0,
            Pace::Bursts { messages, every } => messages == 0 || every.is_zero(),
        };
        ensure!(!idle, "at this pace no message is ever due");
        ensure!(!self.duration.is_zero(), "a run of no time sends nothing");
        Ok(())
    }
}

impl Receive {
    /// One TCP stream to this address.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            protocol: Protocol::Tcp,
            streams: 1,
            warm_up: Duration::ZERO,
            patience: Duration::from_secs(30),
        }
    }
}

fn check_streams(streams: u16) -> Result<()> {
    ensure!(
        (1..=MOST_STREAMS).contains(&streams),
        "a run has 1 to {MOST_STREAMS} streams, not {streams}"
    );
    Ok(())
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}
