//! A visit by thousands of connections: held by several processes at each end, and by as many
//! relays as one's descriptors make necessary.
//!
//! ```text
//!   dialling processes ──► relay 1 ──► answering process 1
//!            (take turns)   relay 2 ──► answering process 2
//!                           ...
//!        quiet: memory, CPU, switches          trickling: latency, CPU, switches
//! ```

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::load::crowd::{Answering, Crowd, Trickled};
use bpf_tests::netns::Netns;
use rustix::process::Resource;

use super::chain::{Chain, Site};
use super::idle_clock::Reading;
use super::metric::Metric;
use super::scene::Load;
use super::session::{Take, Tools, Visit, memory_kib, rest};
use super::subject::Subject;
use crate::median::median;

/// Connections of one relay at most, the same for every subject: s2cs counts three descriptors for
/// each and takes no more than the limit on open files allows, which is 20,000 where nobody has
/// raised it.
const MOST_PER_RELAY: u32 = 6_000;

/// From the last connection to the beginning of the quiet: time to give back what was borrowed.
const SETTLE: Duration = Duration::from_secs(2);

/// From one message of a connection to its next.
const EVERY: Duration = Duration::from_secs(10);

/// What the kernel holds that grows with connections, of `/proc/meminfo`.
const KERNEL_MEMORY: [&str; 2] = ["Slab:", "KernelStack:"];

/// Settings of every host for tens of thousands of connections between two addresses.
const HOST_SETTINGS: [(&str, &str); 2] = [
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    ("net.core.somaxconn", "16384"),
];

/// Opens as many connections as `visit`'s first load says, and plays its loads.
///
/// Errors when a connection does not get through, or the subject fails.
pub(super) fn play(visit: &Visit, tools: Tools<'_>, count: u32) -> Result<Vec<(Load, Take)>> {
    let site = Site::make(&visit.ground)?;
    for host in site.hosts() {
        for (key, value) in HOST_SETTINGS {
            host.netns().set_sysctl(key, value)?;
        }
    }
    let start = |place: &Netns| part(place);
    let (near, far) = (site.producer(), site.consumer());
    let answering: Vec<Answering> = (0..count.div_ceil(MOST_PER_RELAY))
        .map(|_| Answering::start(&start, far.netns(), site.consumer_ip()))
        .collect::<Result<_>>()?;
    let chains: Vec<Chain> = answering
        .iter()
        .map(|one| Chain::start(tools.workshop, visit.subject, &site, one.address()))
        .collect::<Result<_>>()?;
    let addresses: Vec<SocketAddr> = chains.iter().map(Chain::address).collect();
    let before = Memory::read(&chains)?;
    let load = (count as usize, EVERY);
    let crowd = Crowd::open(&start, near, load, &addresses, answering)?;
    std::thread::sleep(SETTLE);
    let held = Memory::read(&chains)?.beyond(before);
    let mut takes = Vec::new();
    for &load in &visit.loads {
        if matches!(load, Load::Trickle { .. }) {
            crowd.trickle(near)?;
        }
        let mut take = watch(visit, tools)?;
        take.measures.extend([
            (Metric::MemoryTotal, held.relays_kib),
            (Metric::KernelMemory, held.kernel_kib),
        ]);
        if matches!(load, Load::Trickle { .. }) {
            take.measures.extend(latencies(&crowd.trickled()?)?);
        }
        take.limit = limit(visit.subject, count, chains.len());
        takes.push((load, take));
    }
    drop(crowd);
    for chain in chains {
        chain.finish()?;
    }
    Ok(takes)
}

/// This program again, at `place`, as a part of the crowd.
fn part(place: &Netns) -> Command {
    // The running file, whatever has become of its path.
    let mut command = place.command("/proc/self/exe");
    if let Ok(own) = std::env::current_exe() {
        command = place.command(&own.to_string_lossy());
    }
    command.args(["bench", "crowd"]);
    command
}

/// In words, what limit of the machine made more than one relay necessary.
fn limit(subject: Subject, count: u32, relays: usize) -> Option<String> {
    if relays < 2 || subject == Subject::NoProxy {
        return None;
    }
    let descriptors = rustix::process::getrlimit(Resource::Nofile).maximum;
    let descriptors = descriptors.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    Some(format!(
        "{subject}: a process may have {descriptors} descriptors here, and s2cs counts three for each connection: {count} connections went through {relays} processes of at most {MOST_PER_RELAY} each"
    ))
}

/// Cores in use, by the meter, and context switches.
fn watch(visit: &Visit, tools: Tools<'_>) -> Result<Take> {
    let reading = Reading::now()?;
    let ((), usage) = tools.meter.over(|| rest(visit.duration))?;
    let spell = reading.since()?;
    let cores = super::meter::online_cores()?.len() as f64;
    let mut take = Take::default();
    take.measures.extend([
        (Metric::CpuLoad, usage.busy_s / (usage.elapsed_s * cores)),
        (
            Metric::SwitchesPerSecond,
            spell.switches as f64 / spell.elapsed,
        ),
        (Metric::Stolen, usage.stolen_s / usage.elapsed_s),
    ]);
    Ok(take)
}

/// The median second of all processes.
fn latencies(seconds: &[Trickled]) -> Result<[(Metric, f64); 2]> {
    let of = |pick: fn(&Trickled) -> f64| {
        let figures: Vec<f64> = seconds
            .iter()
            .filter(|second| second.count > 0)
            .map(pick)
            .collect();
        median(&figures).context("nothing trickled: was the time too short?")
    };
    Ok([
        (Metric::LatencyP50, of(|second| second.p50)?),
        (Metric::LatencyP99, of(|second| second.p99)?),
    ])
}

/// What is held, KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    relays_kib: f64,
    kernel_kib: f64,
}

impl Memory {
    fn read(chains: &[Chain]) -> Result<Self> {
        let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let relays: Result<Vec<f64>> = chains.iter().map(memory_kib).collect();
        Ok(Self {
            relays_kib: relays?.into_iter().sum(),
            kernel_kib: kernel_kib(&text),
        })
    }

    fn beyond(self, before: Self) -> Self {
        Self {
            relays_kib: (self.relays_kib - before.relays_kib).max(0.0),
            kernel_kib: (self.kernel_kib - before.kernel_kib).max(0.0),
        }
    }
}

fn kernel_kib(meminfo: &str) -> f64 {
    let value = |name: &&str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    KERNEL_MEMORY.iter().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_memory_is_slabs_and_stacks() {
        let text = "MemTotal: 9 kB\nSlab:  100 kB\nSReclaimable: 7 kB\nKernelStack: 20 kB\n";
        assert_eq!(kernel_kib(text), 120.0);
    }

    #[test]
    fn a_limit_is_told_only_where_one_was_reached() {
        assert_eq!(limit(Subject::Auto, 1_000, 1), None);
        let words = limit(Subject::Auto, 50_000, 9).unwrap();
        assert!(
            words.contains("50000 connections went through 9 processes"),
            "{words}"
        );
    }

    #[test]
    fn the_latency_is_that_of_the_median_second() {
        let second = |p50| Trickled {
            count: 10,
            p50,
            p99: p50 * 2.0,
        };
        let seconds = [second(1.0), second(5.0), second(3.0)];
        let [(_, p50), (_, p99)] = latencies(&seconds).unwrap();
        assert_eq!((p50, p99), (3.0, 6.0));
        assert!(latencies(&[]).is_err());
    }
}
