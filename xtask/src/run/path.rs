//! One way between producer and consumer: without a gateway, or through gateways on one plane; and
//! what was measured of it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bpf_tests::gateway::{ClosedConnection, Gateway, Plane};

use super::checked::{self, Checker};
use super::cpu::CpuUse;
use super::screen::Screen;
use super::session::Session;
use super::summary::{Moved, Row};
use super::watch::{PlaneSource, PlaneWatch};
use crate::median::median;

/// How long a gateway may take to log a connection's end after both peers are gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(10);

/// Lines of a gateway's log that an error quotes.
const QUOTED_LINES: usize = 3;

/// One way, and one row of the table.
pub(super) struct Path<'a> {
    name: &'static str,
    way: Way<'a>,
    samples: Vec<Sample>,
    /// Connections that the loads have made so far.
    connections: usize,
    /// Bytes that the checked transfer lost.
    lost: u64,
}

enum Way<'a> {
    /// Whoever dials reaches the sink, at this address, without a gateway.
    Direct(SocketAddr),
    Relayed(Relayed<'a>),
    /// The gateways did not start, for this reason.
    Declined(String),
}

/// Gateways in a row that are up.
pub(super) struct Relayed<'a> {
    /// From the one beside the producer.
    pub(super) gateways: Vec<Gateway>,
    /// What is dialled to reach the sink through them.
    pub(super) entrance: SocketAddr,
    /// Who can tell which plane they move bytes by.
    pub(super) source: PlaneSource<'a>,
}

/// What one load came to.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// What arrived, bits per second.
    pub(super) bits_per_second: f64,
    /// What was spent meanwhile.
    pub(super) cpu: CpuUse,
}

impl<'a> Path<'a> {
    /// Without a gateway, to the sink itself.
    pub(super) fn direct(sink: SocketAddr) -> Self {
        Self::new("no proxy", Way::Direct(sink))
    }

    /// Through gateways on `plane`. Where they did not start the row says why.
    pub(super) fn through(plane: Plane, relayed: Result<Relayed<'a>>) -> Self {
        let way = match relayed {
            Ok(relayed) => Way::Relayed(relayed),
            Err(error) => Way::Declined(one_line(&format!("{error:#}"))),
        };
        Self::new(plane.as_str(), way)
    }

    fn new(name: &'static str, way: Way<'a>) -> Self {
        Self {
            name,
            way,
            samples: Vec::new(),
            connections: 0,
            lost: 0,
        }
    }

    /// The name of the row.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// What is dialled; `None` where the gateways declined.
    pub(super) fn entrance(&self) -> Option<SocketAddr> {
        match &self.way {
            Way::Direct(sink) => Some(*sink),
            Way::Relayed(relayed) => Some(relayed.entrance),
            Way::Declined(_) => None,
        }
    }

    /// The gateways' processes.
    pub(super) fn gateway_ids(&self) -> Vec<u32> {
        self.gateways().iter().map(Gateway::id).collect()
    }

    /// The session through the gateways, where they have one.
    pub(super) fn session(&self) -> Option<&Session<'a>> {
        match &self.relayed()?.source {
            PlaneSource::Session(session) => Some(session),
            PlaneSource::Reports => None,
        }
    }

    /// Watches which plane moves the bytes, where the gateways choose it.
    pub(super) fn watch_plane(&self) -> PlaneWatch<'_> {
        let chooses = self.name == Plane::Auto.as_str();
        match self.relayed().filter(|_| chooses) {
            Some(Relayed {
                gateways, source, ..
            }) => match gateways.last() {
                Some(gateway) => PlaneWatch::begin(source, gateway),
                None => PlaneWatch::Idle,
            },
            None => PlaneWatch::Idle,
        }
    }

    /// Notes a measurement and the connections it made.
    pub(super) fn note(&mut self, sample: Sample, connections: usize) {
        self.samples.push(sample);
        self.connections += connections;
    }

    /// Sends checked bytes through the gateways, if there are any.
    pub(super) fn check(&mut self, checker: &Checker<'_>, screen: &Screen) -> Result<()> {
        let Some(Relayed { entrance, .. }) = self.relayed() else {
            return Ok(());
        };
        let mebibytes = checked::BYTES >> 20;
        screen.announce(&format!(
            "comparing every byte of {mebibytes} MiB: {}",
            self.name
        ));
        let lost = checker.lost(*entrance);
        self.lost += lost.with_context(|| format!("{mebibytes} MiB did not get through"))?;
        self.connections += 1;
        Ok(())
    }

    /// What was going on when `error` came up, and what a gateway said that has ended meanwhile:
    /// that explains more than what iperf3 saw of it.
    pub(super) fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let name = self.name;
        let Way::Relayed(Relayed { gateways, .. }) = &mut self.way else {
            return error.context(format!("measuring {name}"));
        };
        let count = gateways.len();
        for (index, gateway) in gateways.iter_mut().enumerate() {
            if !gateway
                .process()
                .ends_within(Duration::ZERO)
                .unwrap_or(false)
            {
                continue;
            }
            let ended = gateway.process().wait(CLOSE_DEADLINE);
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            let which = match count {
                1 => "the gateway".to_owned(),
                _ => format!("gateway {}", index + 1),
            };
            let lines = last_lines(gateway);
            return anyhow!(
                "{which} on plane {name} ended ({how}) in the middle of a transfer, which then failed ({error:#}); \
                 run it again, and if it ends again report it with its last lines:\n{lines}"
            );
        }
        error.context(format!("measuring {name}"))
    }

    /// What the table shows; waits until the gateways have logged the end of every connection.
    pub(super) fn row(&self) -> Result<Row> {
        let mut closed = Vec::new();
        let mut row = Row {
            name: self.name,
            spread: spread(&self.samples),
            bits_per_second: median_of(self.samples.iter().map(|sample| sample.bits_per_second)),
            machine_cpu: median_of(self.samples.iter().map(|sample| sample.cpu.machine)),
            lost: self.lost,
            ..Row::default()
        };
        for (index, gateway) in self.gateways().iter().enumerate() {
            closed = gateway.wait_closed(self.connections, CLOSE_DEADLINE)?;
            let cpu = self
                .samples
                .iter()
                .filter_map(|it| it.cpu.processes.get(index));
            row.gateway_cpu.extend(median_of(cpu.copied()));
            row.moved = row.moved + moved(&closed);
            row.lost += closed.iter().map(lost).sum::<u64>();
            row.mismatches += gateway.messages("ledger mismatch").len();
        }
        row.connections = closed.len();
        row.carried = moved(&closed).total();
        row.declines = self.declines()?;
        Ok(row)
    }

    fn declines(&self) -> Result<Vec<String>> {
        if let Way::Declined(reason) = &self.way {
            return Ok(vec![format!("{}: {reason}", self.name)]);
        }
        let mut declines = Vec::new();
        for gateway in self.gateways() {
            for (plane, reason) in gateway.declines()? {
                let decline = format!("{} without {plane}: {reason}", self.name);
                if !declines.contains(&decline) {
                    declines.push(decline);
                }
            }
        }
        Ok(declines)
    }

    fn relayed(&self) -> Option<&Relayed<'a>> {
        match &self.way {
            Way::Relayed(relayed) => Some(relayed),
            Way::Direct(_) | Way::Declined(_) => None,
        }
    }

    fn gateways(&self) -> &[Gateway] {
        self.relayed().map_or(&[], |relayed| &relayed.gateways)
    }
}

/// The last lines of a gateway's log, each cut to what a terminal shows of it.
pub(super) fn last_lines(gateway: &mut Gateway) -> String {
    const COLUMNS: usize = 160;
    let text = gateway.process().output().text();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
    let cut = |line: &&str| format!("  {}", line.chars().take(COLUMNS).collect::<String>());
    last.iter().map(cut).collect::<Vec<_>>().join("\n")
}

fn moved(closed: &[ClosedConnection]) -> Moved {
    let directions = closed
        .iter()
        .flat_map(|c| [&c.to_upstream, &c.to_downstream]);
    directions.fold(Moved::default(), |sum, direction| {
        sum + Moved {
            redirected: direction.redirected,
            spliced: direction.spliced,
            copied: direction.copied,
        }
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

fn median_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    median(&values.collect::<Vec<_>>())
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
