//! What a run came to, as JSON for programs and as lines for people.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::Protocol;
use super::tally::{BIN, Tally, Window};

/// The form of [`Report`] and [`SendReport`]; another number is another form.
pub const FORMAT: u32 = 1;

/// The quantiles that a distribution keeps, for a plot of its shape.
const QUANTILES: [f64; 25] = [
    0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925,
    0.95, 0.975, 0.98, 0.99, 0.995, 0.999, 0.9999, 1.0,
];

/// Whole bins that a steady goodput is taken from at least.
const LEAST_BINS: usize = 5;

/// What the receiver of a run saw. Every byte was compared with what was sent: a run in which one
/// was wrong has no report.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// How the messages came.
    pub protocol: Protocol,
    /// How many streams.
    pub streams: u16,
    /// Bytes of messages that came.
    pub bytes: u64,
    /// Messages that came whole.
    pub messages: u64,
    /// From the first byte to the last, seconds.
    pub seconds: f64,
    /// Seconds at the beginning that `goodput` and the distributions leave out.
    pub warm_up_seconds: f64,
    /// Bits of messages per second, in the time in which all streams were at work, after the
    /// warm-up.
    pub goodput: f64,
    /// From the moment a message was due to its last byte. Flat out a message is due when it is
    /// handed to the socket.
    pub perceived_delay: Distribution,
    /// From the moment a message's first byte was handed to the socket to its last byte.
    pub one_way_latency: Distribution,
    /// From the moment a message was due to when it was handed to the socket: what the sender, or
    /// a full socket, held it up.
    pub sender_late: Distribution,
    /// Difference between the perceived delays of two messages of a stream in a row.
    pub delay_variation: Distribution,
    /// From one message of a stream to the next, last bytes.
    pub gaps: Distribution,
    /// Width of the bins of `bins`, seconds.
    pub bin_seconds: f64,
    /// Bytes of messages that came in each bin since the first byte.
    pub bins: Vec<u64>,
    /// Each stream by itself, in order.
    pub per_stream: Vec<StreamReport>,
    /// What became of the datagrams, with UDP.
    pub datagrams: Option<DatagramReport>,
}

/// Nanoseconds of many messages.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Distribution {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// Quantile from 0 to 1 and its value, ascending.
    pub quantiles: Vec<(f64, u64)>,
}

/// One stream.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StreamReport {
    /// Bytes of messages that came.
    pub bytes: u64,
    /// Messages that came whole.
    pub messages: u64,
    /// Median of the perceived delay, nanoseconds.
    pub perceived_delay_p50: u64,
    /// The longest gap between two messages, nanoseconds.
    pub longest_gap: u64,
}

/// Datagrams of all streams.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DatagramReport {
    /// Different datagrams that came.
    pub received: u64,
    /// Datagrams that were sent and did not come.
    pub lost: u64,
    /// Datagrams that came again.
    pub duplicated: u64,
    /// Datagrams that came after a later one of their stream.
    pub reordered: u64,
    /// Messages of which something is missing.
    pub incomplete_messages: u64,
}

/// What the sender of a run says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SendReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Messages handed to the sockets.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// From the first to the last, seconds.
    pub seconds: f64,
    /// Messages that were due and given up, because the time was long over.
    pub abandoned: u64,
    /// TCP segments that the sender's own host sent again. Beyond a gateway others do.
    pub retransmits: Option<u64>,
}

impl Report {
    pub(super) fn new(
        protocol: Protocol,
        window: &Window,
        streams: &[Tally],
        sum: &Tally,
        datagrams: Option<DatagramReport>,
    ) -> Self {
        let start = window.start(sum.last);
        let seconds = sum.last.saturating_sub(start) as f64 / 1e9;
        let times = &sum.times;
        Self {
            format: FORMAT,
            protocol,
            streams: streams.len() as u16,
            bytes: sum.bytes,
            messages: sum.messages,
            seconds,
            warm_up_seconds: window.warm_up() as f64 / 1e9,
            goodput: steady(window, streams, sum, seconds),
            perceived_delay: Distribution::of(&times.perceived),
            one_way_latency: Distribution::of(&times.one_way),
            sender_late: Distribution::of(&times.late),
            delay_variation: Distribution::of(&times.variation),
            gaps: Distribution::of(&times.gaps),
            bin_seconds: BIN as f64 / 1e9,
            bins: sum.bins.clone(),
            per_stream: streams.iter().map(StreamReport::of).collect(),
            datagrams,
        }
    }
}

/// Goodput over the whole bins from the end of the warm-up to the end of the first stream that
/// ends; over everything when that is too short to say anything.
fn steady(window: &Window, streams: &[Tally], sum: &Tally, seconds: f64) -> f64 {
    let from = window.warm_up().div_ceil(BIN) as usize;
    // The bin in which a stream ends is not whole.
    let ends = streams
        .iter()
        .map(|stream| stream.bins.len().saturating_sub(1));
    let to = ends.min().unwrap_or_default();
    match sum.bins.get(from..to) {
        Some(bins) if bins.len() >= LEAST_BINS => {
            let bytes: u64 = bins.iter().sum();
            bytes as f64 * 8e9 / (bins.len() as u64 * BIN) as f64
        }
        Some(_) | None if seconds > 0.0 => sum.bytes as f64 * 8.0 / seconds,
        Some(_) | None => 0.0,
    }
}

impl Distribution {
    fn of(histogram: &Histogram<u32>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| (quantile, histogram.value_at_quantile(quantile));
        let mut quantiles: Vec<_> = QUANTILES.map(at).to_vec();
        // The histogram answers with the upper end of the first bucket.
        quantiles[0].1 = histogram.min();
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            deviation: histogram.stdev(),
            quantiles,
        }
    }

    /// The value at one of the kept quantiles, or at the next one above: 0.5, 0.9, 0.99, 0.999.
    /// `None` when nothing was recorded.
    pub fn at(&self, quantile: f64) -> Option<u64> {
        let mut kept = self.quantiles.iter();
        kept.find(|(kept, _)| *kept >= quantile)
            .map(|(_, value)| *value)
    }
}

impl StreamReport {
    fn of(tally: &Tally) -> Self {
        Self {
            bytes: tally.bytes,
            messages: tally.messages,
            perceived_delay_p50: tally.times.perceived.value_at_quantile(0.5),
            longest_gap: tally.times.gaps.max(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} messages, {:.3} GB in {:.2} s by {} {} streams: {:.3} Gb/s; every byte was right",
            self.messages,
            self.bytes as f64 / 1e9,
            self.seconds,
            self.streams,
            self.protocol,
            self.goodput / 1e9
        )?;
        writeln!(
            f,
            "{:17}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "µs", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let rows = [
            ("perceived delay", &self.perceived_delay),
            ("one-way latency", &self.one_way_latency),
            ("sender late", &self.sender_late),
            ("delay variation", &self.delay_variation),
            ("gaps", &self.gaps),
        ];
        for (name, distribution) in rows {
            write!(f, "{name:17}")?;
            for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
                match distribution.at(quantile) {
                    Some(value) => write!(f, "{:10.1}", value as f64 / 1e3)?,
                    None => write!(f, "{:>10}", "-")?,
                }
            }
            writeln!(f)?;
        }
        if let Some(datagrams) = &self.datagrams {
            let DatagramReport {
                received,
                lost,
                duplicated,
                reordered,
                incomplete_messages,
            } = datagrams;
            writeln!(
                f,
                "datagrams: {received} received, {lost} lost, {duplicated} duplicated, \
                 {reordered} reordered; {incomplete_messages} messages incomplete"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::generator::header::tests::header;

    fn tally(bins: &[u64], window: &Window) -> Tally {
        let mut tally = Tally::new().unwrap();
        for (number, &bytes) in bins.iter().enumerate() {
            let now = 1 + number as u64 * BIN;
            tally.add_bytes(bytes as usize, now, window);
            tally.add_message(&header(number as u64, 64), now, window);
        }
        tally
    }

    fn report(warm_up: Duration, streams: &[&[u64]]) -> Report {
        let window = Window::new(warm_up);
        window.start(1);
        let streams: Vec<Tally> = streams.iter().map(|bins| tally(bins, &window)).collect();
        let mut sum = Tally::new().unwrap();
        streams.iter().for_each(|stream| sum.merge(stream).unwrap());
        Report::new(Protocol::Tcp, &window, &streams, &sum, None)
    }

    #[test]
    fn goodput_leaves_out_the_warm_up_and_the_time_when_a_stream_has_ended() {
        let long = [1, 1, 100, 100, 100, 100, 100, 9, 9];
        let short = [1, 1, 100, 100, 100, 100, 100, 5];
        let report = report(Duration::from_millis(200), &[&long, &short]);
        // 200 bytes in every tenth of a second.
        assert_eq!(report.goodput, 200.0 * 8.0 * 10.0);
        assert_eq!((report.streams, report.messages), (2, 17));
    }

    #[test]
    fn a_short_run_counts_as_a_whole() {
        let report = report(Duration::ZERO, &[&[10, 10, 10]]);
        assert_eq!(report.goodput, 30.0 * 8.0 / 0.2);
    }

    #[test]
    fn a_report_survives_json_and_says_its_figures() {
        let report = report(Duration::ZERO, &[&[1_000, 2_000]]);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        let lines = report.to_string();
        assert!(
            lines.contains("2 messages") && lines.contains("perceived delay"),
            "{lines}"
        );
    }

    #[test]
    fn quantiles_ascend_and_an_empty_distribution_has_none() {
        let mut histogram = Histogram::<u32>::new(3).unwrap();
        assert_eq!(Distribution::of(&histogram).at(0.5), None);
        (1..=10_000).for_each(|value| histogram.record(value).unwrap());
        let distribution = Distribution::of(&histogram);
        let values: Vec<u64> = distribution
            .quantiles
            .iter()
            .map(|(_, value)| *value)
            .collect();
        assert!(values.is_sorted(), "{values:?}");
        assert_eq!(distribution.at(0.0), Some(1));
        let median = distribution.at(0.5).unwrap();
        assert!((4_995..=5_005).contains(&median), "{median}");
    }
}
