//! One way from producer to consumer: without a relay, or through a gateway on one plane; and what
//! was measured of it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::gateway::{ClosedConnection, Gateway, GatewayOptions, Plane};

use super::TICK;
use super::checked::{self, Checker};
use super::cpu::CpuUse;
use super::screen::Screen;
use super::stage::Stage;
use super::summary::{Moved, Row};

/// How long a gateway may take to log a connection's end after both peers are gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// One way, and one row of the table.
pub(super) struct Path {
    name: &'static str,
    relay: Relay,
    samples: Vec<Sample>,
    /// Connections that the loads have made so far.
    connections: usize,
    /// Bytes that the checked transfer lost.
    lost: u64,
}

enum Relay {
    /// The producer reaches the sink itself.
    None,
    Running(Box<Gateway>),
    /// The gateway did not start, for this reason.
    Declined(String),
}

/// What one load came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// What arrived, bits per second.
    pub(super) bits_per_second: f64,
    /// What was spent meanwhile.
    pub(super) cpu: CpuUse,
}

impl Path {
    /// Without a relay.
    pub(super) fn direct() -> Self {
        Self {
            name: "no proxy",
            relay: Relay::None,
            samples: Vec::new(),
            connections: 0,
            lost: 0,
        }
    }

    /// Through a gateway on `plane`, which is started here. One that does not start is a row that
    /// says why.
    pub(super) fn relayed(
        binary: &std::path::Path,
        plane: Plane,
        stage: &Stage,
        target: SocketAddr,
    ) -> Self {
        let interval = format!("{}ms", TICK.as_millis());
        let options = GatewayOptions::new(binary, plane)
            .listen(stage.gateway_address())
            .target(target)
            .args(["--stats-interval", &interval]);
        let relay = match options.start(stage.gateway_place()) {
            Ok(gateway) => Relay::Running(Box::new(gateway)),
            Err(error) => Relay::Declined(one_line(&format!("{error:#}"))),
        };
        Self {
            name: plane.as_str(),
            relay,
            samples: Vec::new(),
            connections: 0,
            lost: 0,
        }
    }

    /// The name of the row.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What the producer dials; `None` where there is no gateway to dial.
    pub(super) fn address(&self, sink: SocketAddr) -> Result<Option<SocketAddr>> {
        match &self.relay {
            Relay::None => Ok(Some(sink)),
            Relay::Running(gateway) => gateway.address().map(Some),
            Relay::Declined(_) => Ok(None),
        }
    }

    /// The gateway's process.
    pub(super) fn gateway_id(&self) -> Option<u32> {
        self.gateway().map(Gateway::id)
    }

    /// What the gateway has moved so far, by its latest report.
    pub(super) fn moved(&self) -> Option<Moved> {
        let stats = self.gateway()?.messages("stats").pop()?;
        let count = |key: &str| stats.count(key).ok();
        Some(Moved {
            redirected: count("redirected")?,
            spliced: count("spliced")?,
            copied: count("copied")?,
        })
    }

    /// Notes a measurement and the connections it made.
    pub(super) fn note(&mut self, sample: Sample, connections: usize) {
        self.samples.push(sample);
        self.connections += connections;
    }

    /// Sends checked bytes through the gateway, if there is one.
    pub(super) fn check(&mut self, checker: &Checker, screen: &Screen) -> Result<()> {
        let Some(gateway) = self.gateway() else {
            return Ok(());
        };
        let name = self.name;
        screen.announce(&format!(
            "comparing every byte of {} MiB: {name}",
            checked::BYTES >> 20
        ));
        let lost = checker.lost(gateway.address()?);
        self.lost += lost.with_context(|| format!("checking {name}"))?;
        self.connections += 1;
        Ok(())
    }

    /// What the table shows; waits until the gateway has logged the end of every connection.
    pub(super) fn row(&self) -> Result<Row> {
        let closed = match self.gateway() {
            Some(gateway) => gateway.wait_closed(self.connections, CLOSE_DEADLINE)?,
            None => Vec::new(),
        };
        let mismatches = self
            .gateway()
            .map_or(0, |gateway| gateway.messages("ledger mismatch").len());
        let mut declines = match &self.relay {
            Relay::Declined(reason) => vec![format!("{}: {reason}", self.name)],
            Relay::None => Vec::new(),
            Relay::Running(gateway) => gateway
                .declines()?
                .into_iter()
                .map(|(plane, reason)| format!("{} without {plane}: {reason}", self.name))
                .collect(),
        };
        declines.dedup();
        let samples = |pick: fn(&Sample) -> f64| median(self.samples.iter().map(pick));
        Ok(Row {
            name: self.name,
            spread: spread(&self.samples),
            bits_per_second: samples(|sample| sample.bits_per_second),
            gateway_cpu: self.gateway().and(samples(|sample| sample.cpu.process)),
            machine_cpu: samples(|sample| sample.cpu.machine),
            moved: self.gateway().map(|_| moved(&closed)),
            connections: closed.len(),
            lost: self.lost + closed.iter().map(lost).sum::<u64>(),
            mismatches,
            declines,
        })
    }

    fn gateway(&self) -> Option<&Gateway> {
        match &self.relay {
            Relay::Running(gateway) => Some(gateway),
            Relay::None | Relay::Declined(_) => None,
        }
    }
}

fn moved(closed: &[ClosedConnection]) -> Moved {
    let directions = closed
        .iter()
        .flat_map(|c| [&c.to_upstream, &c.to_downstream]);
    directions.fold(Moved::default(), |sum, direction| Moved {
        redirected: sum.redirected + direction.redirected,
        spliced: sum.spliced + direction.spliced,
        copied: sum.copied + direction.copied,
    })
}

/// Bytes that a connection lost, by its ledger. Where a peer reset the connection, what was on
/// its way had nobody to go to: it is not the gateway's loss.
fn lost(closed: &ClosedConnection) -> u64 {
    let ClosedConnection {
        to_upstream,
        to_downstream,
        reason,
        ..
    } = closed;
    if reason == "finished" {
        to_upstream.lost() + to_downstream.lost()
    } else {
        0
    }
}

/// The fastest sample over the slowest.
fn spread(samples: &[Sample]) -> Option<f64> {
    let rates = || samples.iter().map(|sample| sample.bits_per_second);
    let fastest = rates().max_by(f64::total_cmp)?;
    let slowest = rates().min_by(f64::total_cmp)?;
    Some(fastest / slowest.max(1.0))
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied()?;
    match values.len() % 2 {
        0 => Some(f64::midpoint(upper, values[middle - 1])),
        _ => Some(upper),
    }
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), Some(2.5));
        assert_eq!(median([9.0, 1.0, 3.0].into_iter()), Some(3.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
