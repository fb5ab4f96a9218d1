//! `s2uc connect` from its start to its end: two gateways, TLS, a token; then `s2uc release`.

use std::time::{Duration, Instant};

use anyhow::Result;
use bpf_tests::netns::{Netns, Place};
use bpf_tests::real::pair::RANGES;
use bpf_tests::real::served::Connected;

use super::tails;
use crate::bench::callers::Callers;
use crate::bench::sheet::{Bound, Found, Part};

/// The most that half of the commands may take, ms.
const HALF: f64 = 60.0;

/// Nothing connects, so nothing is dialled there.
const TARGET: &str = "127.0.0.1:9";

/// So many commands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connect {
    count: usize,
}

impl Connect {
    pub(super) fn new(count: usize) -> Self {
        Self { count }
    }

    pub(super) fn settings(self) -> String {
        format!(
            "s2uc: {} times each, from starting the process to its end, as a shell would see it.",
            self.count
        )
    }
}

impl Part for Connect {
    fn heading(&self) -> String {
        "s2uc connect and s2uc release, two gateways".to_owned()
    }

    fn nominal(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn measure(&self, _seed: u64) -> Result<Vec<Found>> {
        let (netns, callers) = (Netns::new("connect")?, Callers::new()?);
        let place = Place::from(&netns);
        let Callers { user, setup, .. } = &callers;
        let [producer, consumer] = RANGES;
        let producer = setup.serve(user, place, producer, "")?;
        let consumer = setup.serve(user, place, consumer, "")?;
        let (targets, access) = ([TARGET.to_owned()], setup.access());
        let (mut connects, mut releases) = (Vec::new(), Vec::new());
        // The first one brings the programs into memory.
        for turn in 0..=self.count {
            let began = Instant::now();
            let session = Connected::by(user, place, [&producer, &consumer], setup, &targets)?;
            let connected = micros(began);
            let (uid, both) = (session.uid()?, [producer.control(), consumer.control()]);
            let mut release = vec!["release", uid, "--producer", both[0], "--consumer", both[1]];
            release.extend(access.iter().map(String::as_str));
            let began = Instant::now();
            user.s2uc(place, &release)?.success()?;
            let released = micros(began);
            if turn > 0 {
                connects.push(connected);
                releases.push(released);
            }
        }
        let targets = [Some(Bound::AtMost(HALF)), None];
        let mut found = tails("connect, wall clock", connects, targets);
        found.extend(tails("release, wall clock", releases, [None, None]));
        Ok(found)
    }
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
