//! The bytes of messages: windows into one block that is made once, so that making them costs
//! nothing and checking them is one comparison of memory.
//!
//! A message's body begins somewhere in the block, drawn from run, stream and number, and goes
//! around it. The block's length is a prime: bytes that are misplaced by a power of two, a page, a
//! segment or a message are never equal to those that belong there. It fits into a CPU's own
//! cache.

use anyhow::{Result, bail};

use super::header::{HEADER, Header};
use crate::traffic::{Draw, Pattern};

/// After so many bytes the block repeats: the largest prime below 256 KiB.
const PERIOD: usize = 262_139;

/// The most bytes that [`Block::window`] gives at once.
pub(super) const WINDOW: usize = 128 << 10;

/// The bytes of one run.
#[derive(Debug)]
pub(super) struct Block {
    run: u64,
    /// One period, and as much of the next as a window may need.
    bytes: Vec<u8>,
}

/// One message's body, known from its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    stream: u16,
    number: u64,
    start: usize,
    length: usize,
}

impl Block {
    /// The block of a run.
    pub(super) fn new(run: u64) -> Self {
        let mut bytes = vec![0; PERIOD + WINDOW];
        Pattern::new(run).fill(0, &mut bytes[..PERIOD]);
        bytes.copy_within(..WINDOW, PERIOD);
        Self { run, bytes }
    }

    /// The run it was made for.
    pub(super) fn run(&self) -> u64 {
        self.run
    }

    /// The bytes of `body` from `offset` on: as many as there are, a window at most.
    pub(super) fn window(&self, body: &Body, offset: usize) -> &[u8] {
        let start = (body.start + offset) % PERIOD;
        let length = body.length.saturating_sub(offset).min(WINDOW);
        &self.bytes[start..start + length]
    }

    /// Whether `found` is what `body` has at `offset`.
    ///
    /// Errors name the first byte that is not.
    pub(super) fn check(&self, body: &Body, offset: usize, found: &[u8]) -> Result<()> {
        for (index, part) in found.chunks(WINDOW).enumerate() {
            let at = offset + index * WINDOW;
            let expected = self.window(body, at);
            if expected.get(..part.len()) != Some(part) {
                return Err(difference(body, at, expected, part));
            }
        }
        Ok(())
    }
}

impl Body {
    /// The body behind `header`, as the block of its run has it.
    pub(super) fn of(header: &Header) -> Self {
        let Header {
            stream,
            run,
            number,
            length,
            ..
        } = *header;
        let seed = run ^ (u64::from(stream) << 48) ^ number;
        Self {
            stream,
            number,
            start: Draw::new(seed).within(0..PERIOD as u64) as usize,
            length: (length as usize).saturating_sub(HEADER),
        }
    }

    /// Bytes of it.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

fn difference(body: &Body, offset: usize, expected: &[u8], found: &[u8]) -> anyhow::Error {
    let Body { stream, number, .. } = body;
    let mut pairs = expected.iter().zip(found);
    let what = match pairs.position(|(expected, found)| expected != found) {
        Some(at) => format!(
            "byte {} is {:#04x} and should be {:#04x}",
            HEADER + offset + at,
            found[at],
            expected[at]
        ),
        None => format!(
            "bytes follow its end at {}",
            HEADER + offset + expected.len()
        ),
    };
    anyhow::anyhow!("stream {stream}, message {number}: {what}")
}

/// Refuses a run other than the one that a receiver has seen first.
pub(super) fn same_run(block: &Block, header: &Header) -> Result<()> {
    if block.run() != header.run {
        bail!(
            "a message of run {:#x} came in the midst of run {:#x}: two senders at once?",
            header.run,
            block.run()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::header::tests::header;

    #[test]
    fn a_body_goes_around_the_block() {
        let block = Block::new(1);
        let body = Body::of(&header(3, 4 << 20));
        let mut offset = 0;
        while offset < body.length() {
            let window = block.window(&body, offset).to_vec();
            let again = block.window(&body, offset + PERIOD);
            let both = window.len().min(again.len());
            assert_eq!(window[..both], again[..both]);
            block.check(&body, offset, &window).unwrap();
            offset += window.len();
        }
        assert!(block.window(&body, body.length()).is_empty());
    }

    #[test]
    fn one_changed_bit_is_found_and_named() {
        let block = Block::new(1);
        let body = Body::of(&header(3, 1 << 20));
        let mut bytes = block.window(&body, 500).to_vec();
        bytes[70_000] ^= 0x20;
        let error = block.check(&body, 500, &bytes).unwrap_err().to_string();
        assert!(error.contains("message 3: byte 70564 is"), "{error}");
    }

    #[test]
    fn bytes_of_other_places_messages_and_streams_are_not_taken() {
        let block = Block::new(1);
        let body = Body::of(&header(3, 4 << 20));
        let bytes = block.window(&body, 0).to_vec();
        for shift in [1, 64, 1_448, 4_096, 65_536, 1 << 20] {
            assert!(block.check(&body, shift, &bytes).is_err(), "{shift}");
        }
        let others = [
            header(4, 4 << 20),
            Header {
                stream: 1,
                ..header(3, 4 << 20)
            },
        ];
        for other in others {
            assert!(block.check(&Body::of(&other), 0, &bytes).is_err());
        }
    }
}
