//! The datagrams of one run as they come: which messages they complete, and which are missing,
//! doubled or out of order. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};

use super::block::{Block, Body, same_run};
use super::header::{HEADER, Header, Kind};
use super::report::DatagramReport;

/// Messages of a stream that are remembered behind the newest: what comes for older ones is late
/// beyond any network and counts as come again.
const REMEMBERED: u64 = 4_096;

/// All streams of a run.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    block: Option<Arc<Block>>,
    streams: BTreeMap<u16, Stream>,
    /// Bytes of body in a full datagram: the most that were seen.
    full: usize,
    /// How many streams the run says it has.
    announced: usize,
}

#[derive(Debug, Default)]
struct Stream {
    messages: BTreeMap<u64, Message>,
    /// Number and offset of the newest datagram.
    newest: Option<(u64, u32)>,
    complete: u64,
    /// Messages and bytes of body that were sent, once the end has told.
    sent: Option<u64>,
    body: usize,
    received: u64,
    duplicated: u64,
    reordered: u64,
}

/// A message of which something has come.
#[derive(Debug, Default)]
struct Message {
    offsets: BTreeSet<u32>,
    bytes: usize,
}

/// What a datagram brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Brought {
    /// Nothing: it came before, or it is the end.
    Nothing,
    /// A part of a message.
    Part(Header),
    /// The last missing part of a message.
    Last(Header),
}

impl Datagrams {
    /// Takes one datagram.
    ///
    /// Errors when it is none of this run, or a byte is wrong.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Result<Brought> {
        let (head, bytes) = datagram
            .split_first_chunk::<HEADER>()
            .context("a datagram is too short for a header")?;
        let header = Header::from_bytes(head)?;
        let block = self
            .block
            .get_or_insert_with(|| Arc::new(Block::new(header.run)));
        same_run(block, &header)?;
        self.announced = usize::from(header.streams);
        let stream = self.streams.entry(header.stream).or_default();
        if header.kind == Kind::End {
            stream.sent = Some(header.number);
            return Ok(Brought::Nothing);
        }
        let body = Body::of(&header);
        block.check(&body, header.offset as usize, bytes)?;
        self.full = self.full.max(bytes.len());
        Ok(stream.take(&header, &body, bytes.len()))
    }

    /// Whether every stream has said that it is over.
    pub(super) fn all_ended(&self) -> bool {
        let ended = self.streams.values().filter(|stream| stream.sent.is_some());
        self.announced > 0 && ended.count() == self.announced
    }

    /// What became of all datagrams.
    ///
    /// Errors when a stream did not say how many it sent: nobody can tell what is missing.
    pub(super) fn report(&self) -> Result<DatagramReport> {
        let missing = self.announced - self.streams.len().min(self.announced);
        ensure!(
            missing == 0,
            "nothing came of {missing} of {} streams",
            self.announced
        );
        let mut report = DatagramReport::default();
        for (number, stream) in &self.streams {
            let sent = stream.sent;
            let sent = sent.with_context(|| format!("the end of stream {number} did not come"))?;
            let each = stream.body.div_ceil(self.full.max(1)).max(1) as u64;
            report.received += stream.received;
            report.lost += (sent * each).saturating_sub(stream.received);
            report.duplicated += stream.duplicated;
            report.reordered += stream.reordered;
            report.incomplete_messages += sent.saturating_sub(stream.complete);
        }
        Ok(report)
    }
}

impl Stream {
    fn take(&mut self, header: &Header, body: &Body, bytes: usize) -> Brought {
        self.body = body.length();
        let place = (header.number, header.offset);
        let oldest = self
            .newest
            .map_or(0, |(number, _)| number.saturating_sub(REMEMBERED));
        let message = self.messages.entry(header.number).or_default();
        if header.number < oldest || !message.offsets.insert(header.offset) {
            self.duplicated += 1;
            return Brought::Nothing;
        }
        self.received += 1;
        self.reordered += u64::from(self.newest.is_some_and(|newest| newest > place));
        self.newest = self.newest.max(Some(place));
        message.bytes += bytes;
        let is_last = message.bytes == body.length();
        if is_last {
            self.complete += 1;
        }
        while self
            .messages
            .first_key_value()
            .is_some_and(|(&number, _)| number < oldest)
        {
            self.messages.pop_first();
        }
        if is_last {
            Brought::Last(*header)
        } else {
            Brought::Part(*header)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::header::tests::header;

    const CHUNK: usize = 300;

    /// The datagrams of messages of 1,000 bytes: four each.
    fn datagrams(messages: u64) -> Vec<Vec<u8>> {
        let block = Block::new(77);
        let mut all = Vec::new();
        for number in 0..messages {
            let header = header(number, 1_000);
            let body = Body::of(&header);
            for offset in (0..body.length()).step_by(CHUNK) {
                let part = block.window(&body, offset);
                let part = &part[..part.len().min(CHUNK)];
                let offset = offset as u32;
                all.push([&Header { offset, ..header }.to_bytes(), part].concat());
            }
        }
        all
    }

    fn end(messages: u64) -> Vec<u8> {
        let kind = Kind::End;
        Header {
            kind,
            ..header(messages, 64)
        }
        .to_bytes()
        .to_vec()
    }

    fn take(datagrams: &[Vec<u8>], messages: u64) -> DatagramReport {
        let mut taken = Datagrams::default();
        for datagram in datagrams {
            taken.take(datagram).unwrap();
        }
        assert!(!taken.all_ended() && taken.report().is_err());
        taken.take(&end(messages)).unwrap();
        assert!(taken.all_ended());
        taken.report().unwrap()
    }

    #[test]
    fn all_in_order_is_all_received() {
        let report = take(&datagrams(10), 10);
        let expected = DatagramReport {
            received: 40,
            ..DatagramReport::default()
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn lost_doubled_and_overtaken_datagrams_are_told_apart() {
        let mut datagrams = datagrams(10);
        datagrams.swap(4, 5);
        let again = datagrams[9].clone();
        datagrams.insert(12, again);
        datagrams.truncate(40);
        datagrams.remove(0);
        let report = take(&datagrams, 10);
        let expected = DatagramReport {
            received: 38,
            lost: 2,
            duplicated: 1,
            reordered: 1,
            incomplete_messages: 2,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn a_message_is_complete_with_its_last_missing_part() {
        let mut datagrams = datagrams(1);
        datagrams.rotate_left(1);
        let mut taken = Datagrams::default();
        let brought: Vec<_> = datagrams
            .iter()
            .map(|one| taken.take(one).unwrap())
            .collect();
        assert!(
            brought[..3]
                .iter()
                .all(|one| matches!(one, Brought::Part(_)))
        );
        assert!(matches!(brought[3], Brought::Last(header) if header.number == 0));
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let mut changed = datagrams(1).remove(2);
        changed[200] ^= 1;
        let error = Datagrams::default().take(&changed).unwrap_err();
        assert!(error.to_string().contains("message 0: byte"), "{error}");
    }
}
