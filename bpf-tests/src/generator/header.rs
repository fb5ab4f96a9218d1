//! What every message begins with, and every datagram: 64 bytes, little-endian.
//!
//! ```text
//!    0 magic     8 streams  16 run      32 due    48 length    56 checksum of all before
//!    4 kind     10 -        24 number   40 sent   52 -
//!    6 stream   12 offset
//! ```

use anyhow::{Result, bail, ensure};

use crate::traffic::RunningHash;

/// Bytes of a header.
pub(super) const HEADER: usize = 64;

/// Begins every header: `sct1`.
const MAGIC: u32 = u32::from_le_bytes(*b"sct1");

/// Where the checksum is.
const CHECKSUM: usize = 56;

/// What follows a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The rest of a message, or in a datagram a part of it.
    Message,
    /// Nothing: the stream is over, and `number` says how many messages it had.
    End,
}

/// The words of a header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The stream it belongs to, from 0.
    pub(super) stream: u16,
    /// How many streams the run has.
    pub(super) streams: u16,
    /// Where in the message's body the bytes behind this header belong. TCP: 0.
    pub(super) offset: u32,
    /// Names the run and seeds its bytes.
    pub(super) run: u64,
    /// Counts the messages of a stream, from 0.
    pub(super) number: u64,
    /// When the message was to be sent: nanoseconds of the host's monotonic clock.
    pub(super) due: u64,
    /// When its first byte was handed to the socket, on the same clock.
    pub(super) sent: u64,
    /// Bytes of the message with one header.
    pub(super) length: u32,
}

impl Header {
    /// As it is sent.
    pub(super) fn to_bytes(self) -> [u8; HEADER] {
        let Self {
            kind,
            stream,
            streams,
            offset,
            run,
            number,
            due,
            sent,
            length,
        } = self;
        let kind: u16 = match kind {
            Kind::Message => 0,
            Kind::End => 1,
        };
        let mut bytes = [0; HEADER];
        let mut put = |at: usize, word: &[u8]| bytes[at..at + word.len()].copy_from_slice(word);
        put(0, &MAGIC.to_le_bytes());
        put(4, &kind.to_le_bytes());
        put(6, &stream.to_le_bytes());
        put(8, &streams.to_le_bytes());
        put(12, &offset.to_le_bytes());
        put(16, &run.to_le_bytes());
        put(24, &number.to_le_bytes());
        put(32, &due.to_le_bytes());
        put(40, &sent.to_le_bytes());
        put(48, &length.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what was sent.
    ///
    /// Errors when the bytes are no header: another's, or changed on the way.
    pub(super) fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self> {
        let number = |at: usize, length: usize| {
            let word = bytes[at..at + length].iter().rev();
            word.fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
        };
        if number(0, 4) != u64::from(MAGIC) {
            bail!("{:02x?} is where a header should begin", &bytes[..8]);
        }
        ensure!(
            number(CHECKSUM, 8) == checksum(bytes),
            "a header was changed on the way: its checksum does not fit"
        );
        let header = Self {
            kind: match number(4, 2) {
                0 => Kind::Message,
                1 => Kind::End,
                other => bail!("a header is of the unknown kind {other}"),
            },
            stream: number(6, 2) as u16,
            streams: number(8, 2) as u16,
            offset: number(12, 4) as u32,
            run: number(16, 8),
            number: number(24, 8),
            due: number(32, 8),
            sent: number(40, 8),
            length: number(48, 4) as u32,
        };
        ensure!(
            header.length as usize >= HEADER,
            "a message of {} bytes cannot hold its own header",
            header.length
        );
        Ok(header)
    }
}

fn checksum(bytes: &[u8; HEADER]) -> u64 {
    let mut hash = RunningHash::default();
    hash.update(&bytes[..CHECKSUM]);
    hash.digest()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The header of one message of a run of one stream.
    pub(in crate::generator) fn header(number: u64, length: u32) -> Header {
        Header {
            kind: Kind::Message,
            stream: 0,
            streams: 1,
            offset: 0,
            run: 77,
            number,
            due: number.wrapping_mul(1_000),
            sent: number.wrapping_mul(1_000).wrapping_add(10),
            length,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for kind in [Kind::Message, Kind::End] {
            let header = Header {
                kind,
                stream: 3,
                streams: 128,
                offset: 1_336,
                ..header(u64::MAX, 4 << 20)
            };
            assert_eq!(Header::from_bytes(&header.to_bytes()).unwrap(), header);
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let bytes = header(5, 512).to_bytes();
        for bit in 0..HEADER * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::from_bytes(&changed).is_err(), "bit {bit}");
        }
    }
}
