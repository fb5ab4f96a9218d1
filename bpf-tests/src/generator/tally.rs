//! What one stream came to: bytes in time, and how long its messages took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

use super::header::Header;
use crate::clock::nanoseconds;

/// Width of the bins that bytes are counted in, nanoseconds.
pub(super) const BIN: u64 = 100_000_000;

/// Digits that a histogram keeps: an error of 0.1 %.
const DIGITS: u8 = 3;

/// What takes longer than an hour counts as an hour, nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// When a run began at the receiver, shared by its streams, and how much of its beginning does not
/// count.
#[derive(Debug)]
pub(super) struct Window {
    start: AtomicU64,
    warm_up: u64,
}

/// The figures of one stream, or of several together.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Bytes in each [`BIN`] since the window's start.
    pub(super) bins: Vec<u64>,
    /// When the latest bytes came.
    pub(super) last: u64,
    pub(super) times: Times,
    /// Delay and arrival of the message before.
    previous: Option<(u64, u64)>,
}

/// How long messages took, nanoseconds; only of those due after the warm-up.
#[derive(Debug)]
pub(super) struct Times {
    /// From due to the last byte read.
    pub(super) perceived: Histogram<u32>,
    /// From sent to the last byte read.
    pub(super) one_way: Histogram<u32>,
    /// From due to sent.
    pub(super) late: Histogram<u32>,
    /// Difference of the perceived delays of two messages in a row.
    pub(super) variation: Histogram<u32>,
    /// From one message's last byte to the next one's.
    pub(super) gaps: Histogram<u32>,
}

impl Window {
    pub(super) fn new(warm_up: Duration) -> Self {
        Self {
            start: AtomicU64::new(0),
            warm_up: nanoseconds(warm_up),
        }
    }

    /// The start of the run: the first moment that anyone asked with.
    pub(super) fn start(&self, now: u64) -> u64 {
        let found = self
            .start
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        found.map_or_else(|earlier| earlier, |_| now)
    }

    pub(super) fn warm_up(&self) -> u64 {
        self.warm_up
    }

    fn counts(&self, due: u64) -> bool {
        due >= self.start.load(Ordering::Relaxed) + self.warm_up || self.warm_up == 0
    }
}

impl Tally {
    /// Errors when there is no memory for the histograms.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            messages: 0,
            bytes: 0,
            bins: Vec::new(),
            last: 0,
            times: Times::new()?,
            previous: None,
        })
    }

    /// Counts bytes that came at `now`.
    pub(super) fn add_bytes(&mut self, count: usize, now: u64, window: &Window) {
        let bin = (now.saturating_sub(window.start(now)) / BIN) as usize;
        if bin >= self.bins.len() {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += count as u64;
        self.bytes += count as u64;
        self.last = now;
    }

    /// Counts a message whose last byte came at `now`. The clock is the sender's, too.
    pub(super) fn add_message(&mut self, header: &Header, now: u64, window: &Window) {
        self.messages += 1;
        let perceived = now.saturating_sub(header.due);
        let previous = self.previous.replace((perceived, now));
        if !window.counts(header.due) {
            return;
        }
        let times = &mut self.times;
        times.perceived.saturating_record(perceived);
        let one_way = now.saturating_sub(header.sent);
        times.one_way.saturating_record(one_way);
        let late = header.sent.saturating_sub(header.due);
        times.late.saturating_record(late);
        if let Some((delay, arrival)) = previous {
            times.variation.saturating_record(perceived.abs_diff(delay));
            times.gaps.saturating_record(now.saturating_sub(arrival));
        }
    }

    /// Adds another stream's figures.
    ///
    /// Errors when there is no memory for the histograms.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        let Self {
            messages,
            bytes,
            bins,
            last,
            times,
            previous: _,
        } = other;
        self.messages += messages;
        self.bytes += bytes;
        self.last = self.last.max(*last);
        if self.bins.len() < bins.len() {
            self.bins.resize(bins.len(), 0);
        }
        for (sum, bin) in self.bins.iter_mut().zip(bins) {
            *sum += bin;
        }
        self.times.merge(times)
    }
}

impl Times {
    fn new() -> Result<Self> {
        let empty = || Histogram::new_with_bounds(1, LONGEST, DIGITS);
        let made = || -> Result<Self, hdrhistogram::CreationError> {
            Ok(Self {
                perceived: empty()?,
                one_way: empty()?,
                late: empty()?,
                variation: empty()?,
                gaps: empty()?,
            })
        };
        made().context("cannot make a histogram")
    }

    fn all_mut(&mut self) -> [&mut Histogram<u32>; 5] {
        let Self {
            perceived,
            one_way,
            late,
            variation,
            gaps,
        } = self;
        [perceived, one_way, late, variation, gaps]
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        let Self {
            perceived,
            one_way,
            late,
            variation,
            gaps,
        } = other;
        let others = [perceived, one_way, late, variation, gaps];
        for (sum, one) in self.all_mut().into_iter().zip(others) {
            sum.add(one).context("cannot add histograms up")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::header::tests::header;

    const MS: u64 = 1_000_000;

    #[test]
    fn times_are_told_apart() {
        let window = Window::new(Duration::ZERO);
        let mut tally = Tally::new().unwrap();
        // Due at 10 and 20 ms, sent 1 and 2 ms late, arrived after 5 and 9 ms.
        for (due, sent, now) in [(10, 11, 15), (20, 22, 29)] {
            let header = Header {
                due: due * MS,
                sent: sent * MS,
                ..header(0, 64)
            };
            tally.add_message(&header, now * MS, &window);
        }
        let near = |histogram: &Histogram<u32>, ms: u64| {
            assert!(
                histogram.equivalent(histogram.max(), ms * MS),
                "{}",
                histogram.max()
            );
        };
        near(&tally.times.perceived, 9);
        near(&tally.times.one_way, 7);
        near(&tally.times.late, 2);
        near(&tally.times.variation, 4);
        near(&tally.times.gaps, 14);
        assert_eq!((tally.messages, tally.times.gaps.len()), (2, 1));
    }

    #[test]
    fn the_warm_up_counts_bytes_but_no_times() {
        let window = Window::new(Duration::from_millis(100));
        let mut tally = Tally::new().unwrap();
        for at in [1_000, 1_050, 1_150] {
            tally.add_bytes(7, at * MS, &window);
            let header = Header {
                due: at * MS,
                sent: at * MS,
                ..header(0, 64)
            };
            tally.add_message(&header, at * MS, &window);
        }
        assert_eq!((tally.messages, tally.bytes), (3, 21));
        assert_eq!(tally.times.perceived.len(), 1);
        assert_eq!(tally.bins, [14, 7]);
    }

    #[test]
    fn streams_add_up() {
        let window = Window::new(Duration::ZERO);
        let mut sum = Tally::new().unwrap();
        for late in [3, 1, 2] {
            let mut one = Tally::new().unwrap();
            one.add_bytes(10, 5 * MS, &window);
            one.add_bytes(10, 5 * MS + late * BIN, &window);
            one.add_message(&header(0, 64), 50 * MS, &window);
            sum.merge(&one).unwrap();
        }
        assert_eq!((sum.messages, sum.bytes), (3, 60));
        assert_eq!(sum.bins, [30, 10, 10, 10]);
        assert_eq!(sum.last, 5 * MS + 3 * BIN);
        assert_eq!(sum.times.perceived.len(), 3);
    }
}
