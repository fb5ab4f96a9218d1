//! Whole lives of sessions: req with hello right behind it, update, release.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use bpf_tests::netns::{Netns, Place};
use serde_json::Value;

use super::audit::Took;
use super::memory::Memory;
use super::tails;
use crate::bench::callers::{Callers, numbers};
use crate::bench::sheet::{Bound, Found, Part, Quantity};

/// The calls of one life.
const METHODS: [&str; 4] = ["req", "hello", "update", "release"];

/// Server side: half of the lives take no longer, ms.
const HALF: f64 = 2.0;
/// 99 of 100 do not.
const NEARLY_ALL: f64 = 10.0;

/// An idle gateway, MB.
const IDLE: f64 = 12.0;

/// How long a gateway is left alone before its memory is read.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Below the ports that the kernel gives out by itself. Released ports rest for a moment, so there
/// must be many.
pub(super) const PORTS: &str = "12000-31999";

/// So many lives by so many callers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cycles {
    callers: usize,
    count: usize,
}

impl Cycles {
    pub(super) fn new(callers: usize, count: usize) -> Self {
        Self { callers, count }
    }
}

/// How it is measured.
pub(super) fn settings() -> String {
    "Lives: each caller has an HTTP/2 connection of its own and 20 lives before those that count. Of one listener, with rate 10000 as old scripts send it; hello is sent right behind req. Server side: the sum of the four calls' times in the audit log, each from the arrival of its headers (before the token is looked at and the message is read) to its answer being known; what req waits for its hello counts, TLS records and HTTP/2 frames do not. Caller side: from sending req to the answer of release, on the same machine.".to_owned()
}

impl Part for Cycles {
    fn heading(&self) -> String {
        match self.callers {
            1 => "req + hello + update + release, one caller".to_owned(),
            callers => format!("req + hello + update + release, {callers} callers at once"),
        }
    }

    fn nominal(&self) -> Duration {
        Duration::from_secs(12)
    }

    fn measure(&self, _seed: u64) -> Result<Vec<Found>> {
        let (netns, callers) = (Netns::new("cycles")?, Callers::new()?);
        let (place, settings) = (Place::from(&netns), callers.audit_settings());
        let gateway = callers
            .setup
            .serve(&callers.user, place, PORTS, &settings)?;
        sleep(QUIET);
        let idle = Memory::of(gateway.id())?;
        let (count, by) = (self.count.to_string(), self.callers.to_string());
        let args = [
            "cycles",
            "--name",
            "life",
            "--count",
            &count,
            "--callers",
            &by,
        ];
        let args = args.map(str::to_owned);
        let said = callers.call(place, &gateway, &args)?.hear("cycle_us")?;
        let took = Took::read(&callers.audit_file(), "life", METHODS.len() * self.count)?;
        sleep(QUIET);
        let after = Memory::of(gateway.id())?;

        let mut found = self.times(&took, &said)?;
        if self.callers == 1 {
            found.extend(idle.found("idle", Some(IDLE)));
            let when = format!("after {} lives", self.count);
            found.extend(after.found(&when, None));
        }
        Ok(found)
    }
}

impl Cycles {
    fn times(self, took: &Took, said: &Value) -> Result<Vec<Found>> {
        let targets = [HALF, NEARLY_ALL].map(|most| Some(Bound::AtMost(most)));
        let mut found = tails("a life, server side", took.sums(), targets);
        for method in METHODS {
            let name = format!("{method}, server side");
            found.extend(tails(&name, took.of_method(method), [None, None]));
        }
        for (name, key) in [
            ("a life, caller side", "cycle_us"),
            ("req and hello, caller side", "ready_us"),
            ("update, caller side", "update_us"),
            ("release, caller side", "release_us"),
        ] {
            found.extend(tails(name, numbers(said, key)?, [None, None]));
        }
        let elapsed = said["elapsed_us"].as_f64().unwrap_or_default() / 1e6;
        if elapsed > 0.0 {
            let quantity = Quantity::new("lives, all callers", "1/s", 0);
            found.push(quantity.found(self.count as f64 / elapsed));
        }
        Ok(found)
    }
}
