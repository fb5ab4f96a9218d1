//! A reservation is no cap: alone on the link, a session that reserved a little is as fast as one that
//! reserved nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::gateway::Plane;

use super::scene::{LEAD, Scene, Terms, rates};
use crate::bench::sheet::{Bound, Found, Part, Quantity};

/// The links, bits per second on the wire.
const LINK: u64 = 2_000_000_000;

/// What the gateway is told of them.
const CAPACITY: u64 = 2_000_000_000;

/// What every old script sends as `rate`.
const RESERVED: u64 = 80_000_000;

/// One session alone, with a reservation and without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Free {
    pub(super) window: Duration,
}

/// How it is measured.
pub(super) fn settings() -> String {
    format!(
        "Free: links of {} Mb/s on the wire, and as much capacity; half the time with a reservation of {} Mb/s, half the time without, one connection, plane auto.",
        LINK / 1_000_000,
        RESERVED / 1_000_000
    )
}

impl Part for Free {
    fn heading(&self) -> String {
        "a reservation on a free link".to_owned()
    }

    fn nominal(&self) -> Duration {
        LEAD * 2 + self.window + Duration::from_secs(4)
    }

    fn measure(&self, seed: u64) -> Result<Vec<Found>> {
        // Whoever comes second finds the machine as the first one left it.
        let mut order = [RESERVED, 0];
        if !seed.is_multiple_of(2) {
            order.reverse();
        }
        let mut with = None;
        let mut without = None;
        for reserved in order {
            let rate = self.rate(reserved)?;
            if reserved > 0 {
                with = Some(rate);
            } else {
                without = Some(rate);
            }
        }
        let (with, without) = with.zip(without).context("both were measured")?;
        let ratio = Quantity::new("with a reservation", "of without", 3);
        Ok(vec![
            ratio.aimed_at(Bound::AtLeast(0.95)).found(with / without),
            Quantity::new("with a reservation", "Mb/s", 0).found(with / 1e6),
            Quantity::new("without", "Mb/s", 0).found(without / 1e6),
        ])
    }
}

impl Free {
    fn rate(self, reserved: u64) -> Result<f64> {
        let scene = Scene::set(Plane::Auto, Some(LINK), Some(CAPACITY))?;
        let terms = Terms {
            max_rate: 0,
            reserved,
        };
        let sessions = scene.open(&[terms])?;
        let session = sessions.first().context("a session was asked for")?;
        let flood = scene.flood(session, 1, None)?;
        let rates = rates(&[flood], self.window / 2)?;
        rates.first().copied().context("a rate was measured")
    }
}
