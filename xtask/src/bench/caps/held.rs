//! Caps on one plane: what arrives, as a share of the cap.

use std::time::Duration;

use anyhow::Result;
use bpf_tests::gateway::Plane;

use super::scene::{LEAD, Scene, Terms, rates};
use crate::bench::sheet::{Bound, Found, Part, Quantity};

/// How far from its cap a session may be, as a share of it.
const ACCURACY: f64 = 0.05;

/// Caps, bits per second, and connections.
const CELLS: [(u64, usize); 4] = [
    (200_000_000, 1),
    (200_000_000, 8),
    (2_000_000_000, 1),
    (2_000_000_000, 8),
];

/// Four capped sessions at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) plane: Plane,
    pub(super) window: Duration,
}

/// How it is measured.
pub(super) fn settings() -> String {
    "Held: the four sessions of a plane are flooded at the same time, 4.4 Gb/s in all; the gateway knows no capacity.".to_owned()
}

impl Part for Held {
    fn heading(&self) -> String {
        format!("caps held, plane {}", self.plane)
    }

    fn nominal(&self) -> Duration {
        LEAD + self.window + Duration::from_secs(3)
    }

    fn measure(&self, _seed: u64) -> Result<Vec<Found>> {
        let scene = Scene::set(self.plane, None, None)?;
        let terms = CELLS.map(|(max_rate, _)| Terms {
            max_rate,
            reserved: 0,
        });
        let sessions = scene.open(&terms)?;
        let mut floods = Vec::new();
        for (session, (_, connections)) in sessions.iter().zip(CELLS) {
            floods.push(scene.flood(session, connections, None)?);
        }
        let rates = rates(&floods, self.window)?;
        let found = CELLS.iter().zip(rates).map(|((cap, connections), rate)| {
            let name = format!("{} Mb/s, {connections} connections", cap / 1_000_000);
            let quantity = Quantity::new(name, "of the cap", 3);
            let quantity = quantity.aimed_at(Bound::Within(1.0, ACCURACY));
            quantity.found(rate / *cap as f64)
        });
        Ok(found.collect())
    }
}
