//! The generator beside iperf3 (goodput) and sockperf (latency): the same path, taken in turns.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::generator::{Load, Pace, Receive, Receiver, Report, Sender};
use bpf_tests::iperf;
use bpf_tests::sockperf::{Answering, Asking};
use bpf_tests::topology::{Family, LinkOptions, Published, TcpOptions, TwoGateways, TwoOptions};
use bpf_tests::wan::WanOptions;

use super::row;
use crate::median::median;

/// What the line carries where goodput is compared, bits per second: little enough that neither
/// program waits for a CPU.
const RATE: u64 = 2_000_000_000;

/// What the two may differ by.
const TOLERANCE: f64 = 0.05;

/// iperf3's own size of a write.
const WRITE: u32 = 128 << 10;

/// Messages where latency is compared: bytes, and how many per second.
const MESSAGE: u32 = 512;
/// Messages per second where latency is compared.
const MESSAGES_PER_SECOND: u32 = 1_000;

/// Arguments of `cargo xtask lab validate`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How often each program runs, in turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    repeats: u16,
    /// Seconds of one run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
}

/// One comparison: what it is, and whether it has to agree.
struct Comparison {
    name: &'static str,
    unit: &'static str,
    other: &'static str,
    others: Vec<f64>,
    ours: Vec<f64>,
    /// Where a CPU decides and not the network, a difference is shown and not judged: uncapped, the
    /// generator pays for comparing every byte; over a LAN, sockperf's sender never sleeps, so
    /// that nobody has to wake up for it.
    judged: bool,
}

/// Compares, prints, and judges.
///
/// Errors when the programs differ by more than the tolerance where they have to agree.
pub(super) fn run(args: &Args) -> Result<()> {
    let bench = Bench {
        binary: super::traffic()?,
        duration: Duration::from_secs(args.seconds),
        repeats: args.repeats,
    };
    let headings = ["other", "others", "ours", "ours/others", ""];
    row::print("", &headings.map(str::to_owned));
    let mut apart = Vec::new();
    let comparisons = [
        bench.goodput("2 Gb/s, 5 ms, 1 stream", 1, Some(RATE)),
        bench.goodput("2 Gb/s, 5 ms, 8 streams", 8, Some(RATE)),
        bench.goodput("uncapped LAN, 1 stream", 1, None),
        bench.latency("512 B over 24 ms", Published::ShortWan),
        bench.latency("512 B over the LAN", Published::Lan),
    ];
    for comparison in comparisons {
        let comparison = comparison?;
        comparison.print();
        if comparison.is_apart() {
            apart.push(comparison.name);
        }
    }
    ensure!(
        apart.is_empty(),
        "the generator differs by more than {:.0} % from iperf3 or sockperf: {}; was the machine idle?",
        TOLERANCE * 100.0,
        apart.join(", ")
    );
    println!(
        "the generator agrees within {:.0} % where it has to",
        TOLERANCE * 100.0
    );
    Ok(())
}

impl Comparison {
    fn ratio(&self) -> f64 {
        middle(&self.ours) / middle(&self.others)
    }

    fn is_apart(&self) -> bool {
        self.judged && (self.ratio() - 1.0).abs() > TOLERANCE
    }

    fn print(&self) {
        let figure = |values: &[f64]| format!("{:.2} {}", middle(values), self.unit);
        let verdict = if self.is_apart() {
            "APART"
        } else if self.judged {
            "agrees"
        } else {
            "not judged"
        };
        let cells = [
            self.other.to_owned(),
            figure(&self.others),
            figure(&self.ours),
            format!("{:.3}", self.ratio()),
            verdict.to_owned(),
        ];
        row::print(self.name, &cells);
    }
}

/// 0 of none: then nothing was measured, and the ratio says so.
fn middle(values: &[f64]) -> f64 {
    median(values).unwrap_or_default()
}

/// What all comparisons have in common.
struct Bench {
    binary: PathBuf,
    duration: Duration,
    repeats: u16,
}

impl Bench {
    fn goodput(&self, name: &'static str, streams: u16, rate: Option<u64>) -> Result<Comparison> {
        let path = match rate {
            Some(_) => Published::Metro,
            None => Published::Lan,
        };
        let hosts = hosts(path, rate)?;
        let (mut others, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..self.repeats {
            let address = hosts.consumer.ip(Family::V4);
            let sink = iperf::Sink::start(hosts.consumer.netns(), address, self.duration, None)?;
            let load = iperf::Load {
                duration: self.duration,
                streams: u32::from(streams),
                ..iperf::Load::default()
            };
            let found = load.run(hosts.producer.netns(), sink.address())?;
            others.push(found.bits_per_second / 1e9);
            let load = Load {
                streams,
                message_size: WRITE,
                duration: self.duration,
                ..Load::default()
            };
            let report = one_run(&self.binary, &hosts, &load)?;
            // iperf3 counts from the first byte to the last, and so does this.
            ours.push(report.bytes as f64 * 8.0 / report.seconds / 1e9);
        }
        Ok(Comparison {
            name,
            unit: "Gb/s",
            other: "iperf3",
            others,
            ours,
            judged: rate.is_some(),
        })
    }

    fn latency(&self, name: &'static str, path: Published) -> Result<Comparison> {
        let hosts = hosts(path, None)?;
        let consumer = &hosts.consumer;
        let address = consumer.ip(Family::V4);
        let port = consumer.place().free_port(address)?;
        let (mut others, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..self.repeats {
            let answering = Answering::start(consumer.netns(), SocketAddr::new(address, port))?;
            let asking = Asking {
                size: MESSAGE,
                rate: MESSAGES_PER_SECOND,
                duration: self.duration,
            };
            let found = asking.run(hosts.producer.netns(), answering.address())?;
            others.push(found.p50 / 1e3);
            let load = Load {
                message_size: MESSAGE,
                pace: Pace::Rate {
                    bits_per_second: u64::from(MESSAGE * 8 * MESSAGES_PER_SECOND),
                },
                duration: self.duration,
                ..Load::default()
            };
            let report = one_run(&self.binary, &hosts, &load)?;
            let median = report.one_way_latency.at(0.5);
            ours.push(median.context("no message came")? as f64 / 1e3);
        }
        Ok(Comparison {
            name,
            unit: "µs",
            other: "sockperf",
            others,
            ours,
            judged: path != Published::Lan,
        })
    }
}

fn hosts(path: Published, rate: Option<u64>) -> Result<TwoGateways> {
    let wan = path.options().wan;
    let rtt = wan.rtt;
    let lan = LinkOptions {
        steering: true,
        ..LinkOptions::default()
    };
    let hosts = TwoGateways::new(&TwoOptions {
        lan,
        wan: WanOptions { rate, ..wan },
    })?;
    hosts.tune(&TcpOptions::for_path(rate.unwrap_or(RATE), rtt, "cubic"))?;
    Ok(hosts)
}

fn one_run(binary: &Path, hosts: &TwoGateways, load: &Load) -> Result<Report> {
    let options = Receive {
        streams: load.streams,
        ..Receive::new(SocketAddr::new(hosts.consumer.ip(Family::V4), 0))
    };
    let receiver = Receiver::start(binary, hosts.consumer.netns(), &options)?;
    let sender = Sender::start(binary, hosts.producer.netns(), load, receiver.address())?;
    sender.finish()?;
    receiver.finish()
}
