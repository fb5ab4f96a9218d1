//! What the emulated line carries on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::generator::{Load, Receive, Receiver, Report, SendReport, Sender};
use bpf_tests::load;
use bpf_tests::topology::{Family, LinkOptions, TcpOptions, TwoGateways, TwoOptions};
use bpf_tests::wan::{WanCounters, WanOptions};

use super::row;

/// Round trips that are tried, milliseconds: the shortest that is emulated, then INDIS'22's.
const ROUND_TRIPS: [u64; 4] = [1, 24, 58, 144];

/// What the longest line must carry on an idle machine, bits per second.
const LEAST: f64 = 8e9;

/// The rate that buffers are made for when the line has none.
const UNCAPPED: u64 = 10_000_000_000;

/// Bytes of one message.
const MESSAGE: u32 = 1 << 20;

/// Arguments of `cargo xtask lab wan`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Seconds of one measurement, after as many of warm-up
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Caps the line, Gb/s on the wire; then throughput has no least
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=400))]
    rate: Option<u64>,
    /// Bytes of an IP packet
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(576..=65_535))]
    mtu: u32,
    /// Congestion control of all hosts
    #[arg(long, default_value = "cubic")]
    congestion_control: String,
    /// Streams side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=128))]
    streams: u16,
    /// Share of the segments that are lost
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
}

/// What one line came to.
struct Outcome {
    asked: Duration,
    found: Duration,
    sent: SendReport,
    report: Report,
    counters: WanCounters,
    cpu: Duration,
}

/// Tries each round-trip time and prints a row for it.
///
/// Errors when the emulator dropped what it should not, a byte was wrong, a round trip is off, or the
/// longest line carries too little.
pub(super) fn run(args: &Args) -> Result<()> {
    let binary = super::traffic()?;
    row::print("round trip asked, found ms", &headings());
    let mut last = 0.0;
    for asked in ROUND_TRIPS {
        let outcome = args.measure(&binary, Duration::from_millis(asked))?;
        row::print(&outcome.name(), &outcome.cells());
        outcome.check()?;
        last = outcome.report.goodput;
    }
    println!("every byte was compared and was right; no packet was dropped that was not asked for");
    ensure!(
        last >= LEAST || args.rate.is_some() || args.loss > 0.0,
        "the longest line carries {:.1} Gb/s and should carry {:.0} on an idle machine; was it idle?",
        last / 1e9,
        LEAST / 1e9
    );
    Ok(())
}

impl Args {
    fn measure(&self, binary: &Path, rtt: Duration) -> Result<Outcome> {
        let rate = self.rate.map(|gigabits| gigabits * 1_000_000_000);
        let lan = LinkOptions {
            mtu: self.mtu,
            steering: true,
            ..LinkOptions::default()
        };
        let wan = WanOptions {
            rate,
            loss: self.loss,
            ..WanOptions::new(rtt)
        };
        let hosts = TwoGateways::new(&TwoOptions { lan, wan })?;
        let path = rate.unwrap_or(UNCAPPED);
        hosts.tune(&TcpOptions::for_path(path, rtt, &self.congestion_control))?;
        let found = round_trip(&hosts)?;

        let half = Duration::from_secs(self.seconds);
        let options = Receive {
            streams: self.streams,
            warm_up: half,
            ..Receive::new(SocketAddr::new(hosts.consumer.ip(Family::V4), 0))
        };
        let receiver = Receiver::start(binary, hosts.consumer.netns(), &options)?;
        let load = Load {
            message_size: MESSAGE,
            streams: self.streams,
            duration: half * 2,
            ..Load::default()
        };
        let wan = hosts.wan().context("the line is not emulated")?;
        let before = wan.cpu_time()?;
        let sender = Sender::start(binary, hosts.producer.netns(), &load, receiver.address())?;
        let sent = sender.finish()?;
        let report = receiver.finish()?;
        Ok(Outcome {
            asked: rtt,
            found,
            sent,
            report,
            cpu: wan.cpu_time()? - before,
            counters: hosts.wan_counters()?.context("the line has no counters")?,
        })
    }
}

impl Outcome {
    fn name(&self) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        format!("{:.0}  {:.2}", ms(self.asked), ms(self.found))
    }

    fn cells(&self) -> Vec<String> {
        let there = &self.counters.there;
        let retransmits = self.sent.retransmits.unwrap_or_default();
        vec![
            format!("{:.2}", self.report.goodput / 1e9),
            format!(
                "{:.3}",
                self.cpu.as_secs_f64() * 1e9 / self.report.bytes as f64
            ),
            format!("{:.1}", there.segments as f64 / there.packets.max(1) as f64),
            retransmits.to_string(),
            there.drops.lost_segments.to_string(),
            there.drops.overflowed.to_string(),
            format!("{:.0}", there.mean_late_ns() as f64 / 1e3),
            format!("{:.1}", there.most_late_ns as f64 / 1e6),
            format!("{}", there.memory >> 20),
        ]
    }

    fn check(&self) -> Result<()> {
        for line in [&self.counters.there, &self.counters.back] {
            let failures = line.drops.failures();
            ensure!(
                failures == 0,
                "the emulator failed {failures} packets: {:?}",
                line.drops
            );
        }
        let tolerance = (self.asked / 50).max(Duration::from_millis(1));
        ensure!(
            (self.asked..=self.asked + tolerance).contains(&self.found),
            "{:?} were asked for and {:?} found",
            self.asked,
            self.found
        );
        Ok(())
    }
}

fn headings() -> Vec<String> {
    let names = [
        "Gb/s",
        "its CPU-s/GB",
        "segs/packet",
        "retransmits",
        "lost",
        "overflowed",
        "mean late µs",
        "most late ms",
        "memory MiB",
    ];
    names.map(str::to_owned).to_vec()
}

fn round_trip(hosts: &TwoGateways) -> Result<Duration> {
    let consumer = &hosts.consumer;
    let listener = load::listen(consumer.netns(), consumer.ip(Family::V4))?;
    let target = listener.local_addr().context("asking where it listens")?;
    let (near, far) = load::join(hosts.producer.netns(), target, &listener)?;
    load::shortest_round_trip(&near, &far)
}
