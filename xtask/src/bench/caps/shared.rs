//! Two sessions that want more than the gateway's capacity together, one with a reservation.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bpf_tests::gateway::Plane;

use super::scene::{LEAD, Scene, Terms, rates};
use crate::bench::sheet::{Bound, Found, Part, Quantity};

/// What the gateway is told that it can move, bits per second.
const CAPACITY: u64 = 1_000_000_000;

/// What one of the sessions reserves.
const RESERVED: u64 = 600_000_000;

/// Connections of the other, which are four times as many.
const CONNECTIONS: [usize; 2] = [1, 4];

/// What the session with the reservation wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// As much as it gets.
    Everything,
    /// What it reserved.
    Reservation,
}

/// Two sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    pub(super) wish: Wish,
    pub(super) window: Duration,
}

/// How it is measured.
pub(super) fn settings() -> String {
    format!(
        "Shared: capacity {} Mb/s, plane auto. The best-effort session floods by {} connections from the start, the other one reserves {} Mb/s and joins it by {}; the links themselves are not capped.",
        CAPACITY / 1_000_000,
        CONNECTIONS[1],
        RESERVED / 1_000_000,
        CONNECTIONS[0]
    )
}

impl Part for Shared {
    fn heading(&self) -> String {
        match self.wish {
            Wish::Everything => "a reservation beside best effort, both want all".to_owned(),
            Wish::Reservation => {
                "a reservation beside best effort, it wants what it reserved".to_owned()
            }
        }
    }

    fn nominal(&self) -> Duration {
        LEAD * 2 + self.window + Duration::from_secs(3)
    }

    fn measure(&self, _seed: u64) -> Result<Vec<Found>> {
        let scene = Scene::set(Plane::Auto, None, Some(CAPACITY))?;
        let reserving = Terms {
            max_rate: 0,
            reserved: RESERVED,
        };
        let sessions = scene.open(&[reserving, Terms::default()])?;
        let [reserving, best_effort] = sessions.as_slice() else {
            anyhow::bail!("two sessions were asked for");
        };
        let [few, many] = CONNECTIONS;
        let best_effort = scene.flood(best_effort, many, None)?;
        // Until it has all.
        std::thread::sleep(LEAD);
        let wanted = match self.wish {
            Wish::Everything => None,
            Wish::Reservation => Some(RESERVED),
        };
        let reserving = scene.flood(reserving, few, wanted)?;
        let rates = rates(&[reserving, best_effort], self.window)?;
        let [reserved, rest] = rates.as_slice() else {
            anyhow::bail!("two rates were measured");
        };
        self.found(*reserved, *rest)
            .context("nothing was left to share")
    }
}

impl Shared {
    fn found(&self, reserved: f64, rest: f64) -> Option<Vec<Found>> {
        let (capacity, reservation) = (CAPACITY as f64, RESERVED as f64);
        let of = |name: &str, unit, digits| Quantity::new(name, unit, digits);
        let kept =
            of("the reserving session", "of its reservation", 3).aimed_at(Bound::AtLeast(0.95));
        let other = of("the best-effort session", "of what the other leaves", 3)
            .aimed_at(Bound::Within(1.0, 0.05));
        let both = of("both", "of the capacity", 3).aimed_at(Bound::Within(1.0, 0.05));
        let left = capacity - reserved;
        (left > 0.0).then(|| {
            vec![
                kept.found(reserved / reservation),
                other.found(rest / left),
                both.found((reserved + rest) / capacity),
                of("the reserving session", "Mb/s", 0).found(reserved / 1e6),
                of("the best-effort session", "Mb/s", 0).found(rest / 1e6),
            ]
        })
    }
}
