//! One visit: a subject on a network of its own, with one load after the other through it.
//!
//! ```text
//!   network ──► subject ──► one connection ──► warm-up ──► load, load, ... ──► ended, counted
//!                                                └─ each: speed first, then what it costs
//! ```
//!
//! Speed and cost of the CPU-bound regime come from different seconds, because the meter keeps
//! cores from sleeping (ADR 8); the load of a link-bound cell is read by a clock that disturbs
//! nobody ([`idle_clock`](super::idle_clock)).

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bpf_tests::load;
use bpf_tests::load::flat_out::FlatOut;
use bpf_tests::load::messages::{MessageLoad, MessageReport};

use super::chain::{Chain, Ground, LINK_RATE, Site};
use super::idle_clock::{Reading, Spell};
use super::meter::Meter;
use super::metric::Metric;
use super::multitude;
use super::relay::Workshop;
use super::results::{SHARES, Spread};
use super::retransmits::Retransmits;
use super::scene::{Load, Regime, Setting};
use super::stats::percentile;
use super::subject::Subject;

/// The share of [`LINK_RATE`] that paced messages take.
const PACED_SHARE: f64 = 0.5;

/// Bytes of a message where several streams share a rate.
const STREAM_MESSAGE: u32 = 16_384;

/// The size of messages while the connection finds its pace.
const WARM_UP_SIZE: usize = 65_536;

/// Round trips until a window grew to [`LINK_RATE`] over the longest path.
pub(super) const WARM_UP_TRIPS: f64 = 26.0;

/// How long paced messages are measured: the slowest of a hundred are then dozens.
pub(super) const PACED_FOR: Duration = Duration::from_millis(800);

/// How long paced messages come before they are measured, where nothing else was measured before:
/// the 4,096 and some that our `auto` wants to see before it changes its ways.
pub(super) const PACED_BEFORE: Duration = Duration::from_millis(1_500);

/// After a change of size, which the consumer has seen by then.
const SETTLING: Duration = Duration::from_millis(80);

/// About what making the network and starting the subject take.
const SETTING_UP: Duration = Duration::from_millis(400);

/// About how many round trips it takes until what fills buffers and line has gone.
const DRAIN_TRIPS: f64 = 6.0;

/// About what opening and closing one of many connections takes.
const OPENING_EACH: Duration = Duration::from_micros(250);

/// Warm-up at least.
const LEAST_WARM_UP: Duration = Duration::from_millis(700);

/// Warm-up where packets are lost: a window that began at the whole link has to come down loss by
/// loss.
pub(super) const LOSSY_WARM_UP: Duration = Duration::from_secs(6);

/// One visit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Visit {
    pub(super) ground: Ground,
    pub(super) subject: Subject,
    pub(super) loads: Vec<Load>,
    /// How long each load is measured.
    pub(super) duration: Duration,
}

/// What one load came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Take {
    pub(super) measures: BTreeMap<Metric, f64>,
    pub(super) spreads: BTreeMap<Spread, Vec<f64>>,
    pub(super) limit: Option<String>,
}

/// What every visit needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tools<'a> {
    pub(super) workshop: &'a Workshop,
    pub(super) meter: &'a Meter,
}

/// A connection through a subject.
struct Flow<'a> {
    visit: &'a Visit,
    tools: Tools<'a>,
    site: &'a Site,
    pairs: Vec<(TcpStream, TcpStream)>,
}

impl Visit {
    /// About how long it takes, for the bar.
    pub(super) fn nominal(&self) -> Duration {
        let measured = |load: &Load| match (load, self.ground.regime) {
            (Load::Bulk { .. }, Regime::CpuBound) | (Load::Streams { .. }, _) => self.duration * 2,
            (Load::Bulk { .. }, Regime::LinkBound)
            | (Load::Idle { .. } | Load::Trickle { .. }, _) => self.duration,
            (Load::Paced { .. }, _) => self.paced_before() + PACED_FOR,
        };
        let around = SETTLING + trips(&self.ground, DRAIN_TRIPS) + Duration::from_millis(50);
        let one = |load: &Load| measured(load) + around;
        let loads: Duration = self.loads.iter().map(one).sum();
        let opening = |load: &Load| match load {
            Load::Idle { count } => OPENING_EACH * *count,
            Load::Bulk { .. }
            | Load::Paced { .. }
            | Load::Streams { .. }
            | Load::Trickle { .. } => Duration::ZERO,
        };
        let opening: Duration = self.loads.iter().map(opening).sum();
        SETTING_UP + opening + warm_up(&self.ground) + loads
    }

    /// How long paced messages come unmeasured.
    fn paced_before(&self) -> Duration {
        let is_bulk = |load: &Load| matches!(load, Load::Bulk { .. });
        if self.loads.iter().any(is_bulk) {
            Duration::ZERO
        } else {
            PACED_BEFORE
        }
    }

    /// Plays all loads; answers with them in their order.
    ///
    /// Errors when the network, the subject or a load fails.
    pub(super) fn play(&self, tools: Tools<'_>) -> Result<Vec<(Load, Take)>> {
        let crowd = self.loads.iter().find_map(|load| match load {
            Load::Idle { count } | Load::Trickle { count } => Some(*count),
            Load::Bulk { .. } | Load::Paced { .. } | Load::Streams { .. } => None,
        });
        match crowd {
            Some(count) => multitude::play(self, tools, count),
            None => self.play_streams(tools),
        }
    }

    /// Connections of this visit at once.
    fn streams(&self) -> u32 {
        let count = |load: &Load| match load {
            Load::Streams { count } => *count,
            Load::Bulk { .. } | Load::Paced { .. } | Load::Idle { .. } | Load::Trickle { .. } => 1,
        };
        self.loads.iter().map(count).max().unwrap_or(1)
    }

    fn play_streams(&self, tools: Tools<'_>) -> Result<Vec<(Load, Take)>> {
        let site = Site::make(&self.ground)?;
        let listener = load::listen(site.consumer().netns(), site.consumer_ip())?;
        let target = listener
            .local_addr()
            .context("asking where the consumer listens")?;
        let chain = Chain::start(tools.workshop, self.subject, &site, target)?;
        let flow = Flow {
            visit: self,
            tools,
            site: &site,
            pairs: (0..self.streams())
                .map(|_| load::join(site.producer(), chain.address(), &listener))
                .collect::<Result<_>>()?,
        };
        let memory = || memory_kib(&chain);
        let mut takes = flow.flat_out(&memory)?;
        takes.extend(flow.others(&memory)?);
        drop(flow);
        if let Some(share) = chain.finish()? {
            for (_, take) in &mut takes {
                take.measures.insert(Metric::KernelShare, share);
            }
        }
        Ok(takes)
    }
}

/// Memory of all relays of a chain, KiB.
pub(super) fn memory_kib(chain: &Chain) -> Result<f64> {
    let trees = chain.processes();
    let kib: Result<Vec<u64>> = trees.into_iter().map(|tree| tree.memory_kib()).collect();
    Ok(kib?.into_iter().sum::<u64>() as f64)
}

fn trips(ground: &Ground, count: f64) -> Duration {
    Duration::from_secs_f64(ground.net.rtt_ms().unwrap_or(0.0) * count / 1e3)
}

fn warm_up(ground: &Ground) -> Duration {
    if matches!(ground.setting, Setting::Lossy { .. }) {
        return LOSSY_WARM_UP;
    }
    trips(ground, WARM_UP_TRIPS).max(LEAST_WARM_UP)
}

impl Flow<'_> {
    /// Warms up, and goes on with all sizes that are sent flat out: without a pause, so that
    /// relays' buffers are as full as they stay.
    fn flat_out(&self, memory: &dyn Fn() -> Result<f64>) -> Result<Vec<(Load, Take)>> {
        let Visit { ground, loads, .. } = self.visit;
        self.merge_small_messages(ground.regime == Regime::LinkBound)?;
        let takes = FlatOut::run(&self.pairs, WARM_UP_SIZE, |stream| {
            rest(warm_up(ground))?;
            let mut takes = Vec::new();
            for &load in loads {
                let Load::Bulk { size } = load else { continue };
                stream.turn_to(size as usize)?;
                rest(SETTLING)?;
                let mut take = self.bulk(stream)?;
                take.measures.insert(Metric::MemoryTotal, memory()?);
                takes.push((load, take));
            }
            Ok(takes)
        })?;
        self.merge_small_messages(false)?;
        Ok(takes)
    }

    /// Whether the producer's kernel may wait for more while a small packet is under way (Nagle's
    /// algorithm, RFC 896), as it does for iperf3. A link is not full of messages of 512 B that go
    /// into a packet each: the cores are.
    fn merge_small_messages(&self, merge: bool) -> Result<()> {
        let mut producers = self.pairs.iter().map(|(near, _)| near);
        let nodelay = |near: &TcpStream| near.set_nodelay(!merge);
        producers
            .try_for_each(nodelay)
            .context("setting TCP_NODELAY")
    }

    /// The loads that are not flat out, each on its own.
    fn others(&self, memory: &dyn Fn() -> Result<f64>) -> Result<Vec<(Load, Take)>> {
        let mut takes = Vec::new();
        for &load in &self.visit.loads {
            let mut take = match load {
                Load::Bulk { .. } => continue,
                Load::Paced { size } => self.paced(size)?,
                Load::Streams { count } => self.streams(count)?,
                Load::Idle { .. } | Load::Trickle { .. } => {
                    bail!("{load} is not measured on a connection of its own")
                }
            };
            take.measures.insert(Metric::MemoryTotal, memory()?);
            takes.push((load, take));
        }
        Ok(takes)
    }

    fn bulk(&self, stream: &FlatOut) -> Result<Take> {
        let duration = self.visit.duration;
        let hosts = self.site.hosts();
        let before = Retransmits::of(&hosts)?;
        let (report, spell) = stream.window(duration, observe)?;
        let sent_again = Retransmits::of(&hosts)?.since(before) as f64;
        let gigabytes = report.bytes as f64 / 1e9;
        let mut take = Take::default();
        take.measures.extend([
            (Metric::Goodput, report.bits_per_second() / 1e9),
            (Metric::CpuLoad, spell.load),
            (Metric::RetransmitsPerGb, sent_again / gigabytes),
            (Metric::SwitchesPerGb, spell.switches as f64 / gigabytes),
        ]);
        if self.visit.ground.regime == Regime::CpuBound {
            let meter = self.tools.meter;
            let (metered, usage) = stream.window(duration, |time| meter.over(|| rest(time)))?;
            let ((), usage) = usage;
            take.measures.extend([
                (
                    Metric::CpuPerGb,
                    usage.busy_s / (metered.bytes as f64 / 1e9),
                ),
                (Metric::SoakedGoodput, metered.bits_per_second() / 1e9),
                (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
            ]);
        }
        Ok(take)
    }

    fn paced(&self, size: u32) -> Result<Take> {
        let rate = LINK_RATE as f64 * PACED_SHARE;
        let before = self.visit.paced_before();
        if !before.is_zero() {
            self.all_at_once(&paced(size, rate, before))?;
        }
        self.on_time(&paced(size, rate, PACED_FOR))
    }

    /// Messages that are due at fixed moments, on every connection alike.
    fn on_time(&self, load: &MessageLoad) -> Result<Take> {
        let reading = Reading::now()?;
        let report = self.all_at_once(load)?;
        let spell = reading.since()?;
        let mut take = Take::default();
        take.measures.extend(figures(&report)?);
        take.measures.extend([
            (Metric::CpuLoad, spell.load),
            (
                Metric::SwitchesPerSecond,
                spell.switches as f64 / spell.elapsed,
            ),
        ]);
        take.spreads
            .insert(Spread::Delay, at_shares(&report.latencies_ns));
        take.spreads
            .insert(Spread::Jitter, at_shares(&report.jitter_ns));
        Ok(take)
    }

    /// The same total rate, whatever the number of streams.
    fn streams(&self, count: u32) -> Result<Take> {
        let rate = LINK_RATE as f64 / f64::from(count);
        let load = paced(STREAM_MESSAGE, rate, self.visit.duration);
        let mut take = self.on_time(&load)?;
        let (metered, usage) = self.tools.meter.over(|| self.all_at_once(&load))?;
        let bytes = metered.latencies_ns.len() as f64 * f64::from(STREAM_MESSAGE);
        take.measures.extend([
            (Metric::CpuPerGb, usage.busy_s / (bytes / 1e9)),
            (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
        ]);
        Ok(take)
    }

    /// Runs `load` on every connection at once; the reports as one.
    fn all_at_once(&self, load: &MessageLoad) -> Result<MessageReport> {
        let reports: Vec<Result<MessageReport>> = std::thread::scope(|scope| {
            let run = |(near, far)| scope.spawn(move || load.run(near, far));
            let pairs = self.pairs.iter().map(|(near, far)| (near, far));
            let threads: Vec<_> = pairs.map(run).collect();
            threads
                .into_iter()
                .map(|thread| {
                    let panicked = |_| Err(anyhow!("a stream panicked"));
                    thread.join().unwrap_or_else(panicked)
                })
                .collect()
        });
        let mut all = MessageReport {
            latencies_ns: Vec::new(),
            jitter_ns: Vec::new(),
            late_ns: Vec::new(),
        };
        for report in reports {
            let report = report?;
            all.latencies_ns.extend(report.latencies_ns);
            all.jitter_ns.extend(report.jitter_ns);
            all.late_ns.extend(report.late_ns);
        }
        for figures in [&mut all.latencies_ns, &mut all.jitter_ns, &mut all.late_ns] {
            figures.sort_unstable();
        }
        Ok(all)
    }
}

/// Waits for the window's end.
pub(super) fn rest(duration: Duration) -> Result<()> {
    std::thread::sleep(duration);
    Ok(())
}

fn observe(duration: Duration) -> Result<Spell> {
    let reading = Reading::now()?;
    std::thread::sleep(duration);
    reading.since()
}

fn paced(size: u32, rate: f64, duration: Duration) -> MessageLoad {
    let interval = f64::from(size) * 8.0 / rate;
    MessageLoad {
        size: size as usize,
        interval: Duration::from_secs_f64(interval),
        count: (duration.as_secs_f64() / interval).ceil() as u32,
    }
}

/// The single figures of paced messages, µs.
fn figures(report: &MessageReport) -> Result<[(Metric, f64); 4]> {
    let at = |sorted: &[u64], share| {
        let nanoseconds = percentile(sorted, share).context("no message was sent")?;
        anyhow::Ok(nanoseconds as f64 / 1e3)
    };
    let sum: u64 = report.jitter_ns.iter().sum();
    let jitter = sum as f64 / report.jitter_ns.len().max(1) as f64 / 1e3;
    Ok([
        (Metric::LatencyP50, at(&report.latencies_ns, 0.50)?),
        (Metric::LatencyP99, at(&report.latencies_ns, 0.99)?),
        (Metric::SenderLateP99, at(&report.late_ns, 0.99)?),
        (Metric::Jitter, jitter),
    ])
}

/// Nanoseconds, ascending, as µs at [`SHARES`].
fn at_shares(sorted: &[u64]) -> Vec<f64> {
    let at = |share| percentile(sorted, share).unwrap_or_default() as f64 / 1e3;
    SHARES.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paced_messages_come_at_their_rate() {
        let load = paced(16_384, 5e8, Duration::from_secs(1));
        let rate = load.size as f64 * 8.0 * f64::from(load.count);
        assert!((rate / 5e8 - 1.0).abs() < 0.01, "{rate}");
    }
}
