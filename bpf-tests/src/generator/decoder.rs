//! One TCP stream as it comes, in pieces of any size: where messages begin and end, and whether
//! every byte is the right one. No I/O, no clock.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use super::block::{Block, Body, same_run};
use super::header::{HEADER, Header, Kind};

/// What has come of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    block: Option<Arc<Block>>,
    /// Bytes of a header that is not complete.
    head: Vec<u8>,
    /// The message whose body is coming, and how much of it has come.
    body: Option<(Header, Body, usize)>,
    stream: Option<u16>,
    next: u64,
    ended: bool,
}

impl Decoder {
    /// Takes the next bytes; calls `arrived` for every message that they complete.
    ///
    /// Errors when a byte is not what was sent, or not in its place.
    pub(super) fn take(&mut self, bytes: &[u8], mut arrived: impl FnMut(&Header)) -> Result<()> {
        let mut left = bytes;
        while !left.is_empty() {
            ensure!(!self.ended, "bytes follow the end of {}", self.name());
            left = match self.body.take() {
                None => self.take_head(left)?,
                Some((header, body, done)) => {
                    let count = left.len().min(body.length() - done);
                    let (part, rest) = left.split_at(count);
                    self.check(&body, done, part)?;
                    self.body = Some((header, body, done + count));
                    rest
                }
            };
            self.complete(&mut arrived);
        }
        Ok(())
    }

    /// The stream it turned out to be; `None` before its first header.
    pub(super) fn stream(&self) -> Option<u16> {
        self.stream
    }

    /// To be asked when the connection has ended in order.
    ///
    /// Errors when something is missing.
    pub(super) fn finish(&self) -> Result<()> {
        ensure!(
            self.ended,
            "{} was cut off in or before message {}",
            self.name(),
            self.next
        );
        Ok(())
    }

    fn take_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let count = bytes.len().min(HEADER - self.head.len());
        let (part, rest) = bytes.split_at(count);
        self.head.extend_from_slice(part);
        if let Ok(head) = <&[u8; HEADER]>::try_from(self.head.as_slice()) {
            let header = Header::from_bytes(head);
            let header =
                header.with_context(|| format!("{}, before message {}", self.name(), self.next))?;
            self.head.clear();
            self.begin(header)?;
        }
        Ok(rest)
    }

    fn begin(&mut self, header: Header) -> Result<()> {
        let Header {
            kind,
            stream,
            number,
            run,
            ..
        } = header;
        let block = self.block.get_or_insert_with(|| Arc::new(Block::new(run)));
        same_run(block, &header)?;
        let own = *self.stream.get_or_insert(stream);
        ensure!(
            own == stream,
            "a message of stream {stream} came on stream {own}"
        );
        if number != self.next {
            let what = match kind {
                Kind::Message => format!("message {number} came"),
                Kind::End => format!("the end after {number} messages came"),
            };
            bail!(
                "{}: {what} when message {} was next",
                self.name(),
                self.next
            );
        }
        match kind {
            Kind::Message => self.body = Some((header, Body::of(&header), 0)),
            Kind::End => self.ended = true,
        }
        Ok(())
    }

    fn check(&self, body: &Body, offset: usize, bytes: &[u8]) -> Result<()> {
        match &self.block {
            Some(block) => block.check(body, offset, bytes),
            None => Ok(()),
        }
    }

    fn complete(&mut self, arrived: &mut impl FnMut(&Header)) {
        if let Some((header, ..)) = self.body.take_if(|(_, body, done)| *done == body.length()) {
            self.next += 1;
            arrived(&header);
        }
    }

    fn name(&self) -> String {
        match self.stream {
            Some(stream) => format!("stream {stream}"),
            None => "a stream".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::header::tests::header;

    /// Three messages of different lengths, and the end.
    fn stream() -> Vec<u8> {
        let block = Block::new(77);
        let mut bytes = Vec::new();
        for (number, length) in [(0, 64), (1, 5_000), (2, 700)] {
            let header = header(number, length);
            bytes.extend(header.to_bytes());
            bytes.extend(block.window(&Body::of(&header), 0));
        }
        let end = Header {
            kind: Kind::End,
            ..header(3, 64)
        };
        bytes.extend(end.to_bytes());
        bytes
    }

    fn decode(bytes: &[u8], step: usize) -> Result<Vec<u64>> {
        let mut decoder = Decoder::default();
        let mut numbers = Vec::new();
        for part in bytes.chunks(step) {
            decoder.take(part, |header| numbers.push(header.number))?;
        }
        decoder.finish()?;
        Ok(numbers)
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let bytes = stream();
        for step in [1, 7, 63, 64, 65, 1_448, 100_000] {
            assert_eq!(decode(&bytes, step).unwrap(), [0, 1, 2], "{step}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = stream();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed, 1_000).is_err(), "{at}");
        }
    }

    #[test]
    fn every_lost_and_doubled_stretch_is_noticed() {
        let bytes = stream();
        for from in (0..bytes.len()).step_by(97) {
            let to = (from + 64).min(bytes.len());
            let lost = [&bytes[..from], &bytes[to..]].concat();
            assert!(decode(&lost, 4_096).is_err(), "{from}");
            let doubled = [&bytes[..to], &bytes[from..]].concat();
            assert!(decode(&doubled, 4_096).is_err(), "{from}");
        }
    }

    #[test]
    fn a_stream_without_its_end_is_cut_off() {
        let bytes = stream();
        for length in 0..bytes.len() {
            let error = decode(&bytes[..length], 500).unwrap_err().to_string();
            assert!(error.contains("cut off"), "{error}");
        }
    }
}
