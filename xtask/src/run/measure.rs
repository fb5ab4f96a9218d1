//! One load over one path, watched while it goes on.

use anyhow::{Context as _, Result};
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
    /// Streams once over `path`; a path whose gateway declined is passed over.
    pub(super) fn take(&self, path: &mut Path, round: u32) -> Result<()> {
        let Some(address) = path.address(self.sink.address())? else {
            return Ok(());
        };
        let mark = self.sink.mark();
        let began = CpuClock::read(path.gateway_id());
        let running = self.load.start(self.stage.dialler_place(), address)?;
        let (mut before, mut moved_before) = (CpuClock::read(path.gateway_id()), path.moved());
        while !running.ends_within(TICK)? {
            let now = CpuClock::read(path.gateway_id());
            let moved = path.moved();
            let delta = moved
                .zip(moved_before)
                .map(|(now, before)| now.since(&before));
            self.screen.show(&Live {
                round,
                path: path.name(),
                plane: delta.and_then(|delta| delta.leader()),
                bits_per_second: self.sink.rate(mark).unwrap_or_default(),
                cpu: now.since(&before),
                relayed: path.gateway_id().is_some(),
            });
            (before, moved_before) = (now, moved);
        }
        let cpu = CpuClock::read(path.gateway_id()).since(&began);
        let found = running
            .finish()
            .with_context(|| format!("measuring {}", path.name()))?;
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
