//! One load over one path, watched while it goes on.

use anyhow::Result;
use bpf_tests::iperf::{Load, Sink};

use super::TICK;
use super::cpu::CpuClock;
use super::path::{Path, Sample};
use super::screen::{Live, Screen};
use super::stage::Stage;

/// What every measurement of a run shares.
pub(super) struct Measurement<'a> {
    pub(super) stage: &'a Stage,
    pub(super) sink: &'a Sink,
    pub(super) load: &'a Load,
    pub(super) screen: &'a Screen,
}

impl Measurement<'_> {
    /// Streams once over each path in each round.
    pub(super) fn take_rounds(&self, paths: &mut [Path<'_>], rounds: u32) -> Result<()> {
        for round in 1..=rounds {
            for path in &mut *paths {
                let taken = self.take(path, round);
                taken.map_err(|error| path.explain(error))?;
            }
        }
        Ok(())
    }

    /// Streams once over `path`; a path whose gateways declined is passed over.
    fn take(&self, path: &mut Path<'_>, round: u32) -> Result<()> {
        let Some(address) = path.entrance() else {
            return Ok(());
        };
        let mark = self.sink.mark();
        let gateways = path.gateway_ids();
        let began = CpuClock::read(&gateways);
        let running = self.load.start(self.stage.dialler(), address)?;
        let mut watch = path.watch_plane();
        let mut before = CpuClock::read(&gateways);
        while !running.ends_within(TICK)? {
            let now = CpuClock::read(&gateways);
            self.screen.show(&Live {
                round,
                path: path.name(),
                plane: watch.now()?,
                bits_per_second: self.sink.rate(mark).unwrap_or_default(),
                cpu: now.since(&before),
            });
            before = now;
        }
        drop(watch);
        let cpu = CpuClock::read(&gateways).since(&began);
        let found = running.finish()?;
        self.sink.wait_until_free(mark)?;
        let bits_per_second = found.bits_per_second;
        self.screen.note(round, path.name(), bits_per_second);
        // iperf3 keeps one more connection to agree on what to do.
        let connections = self.load.streams as usize + 1;
        path.note(
            Sample {
                bits_per_second,
                cpu,
            },
            connections,
        );
        Ok(())
    }
}
