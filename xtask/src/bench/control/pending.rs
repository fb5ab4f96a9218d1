//! Thousands of `req`s that wait for their hello, while hellos are answered.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use bpf_tests::netns::{Netns, Place};

use super::audit::Took;
use super::cycles::PORTS;
use super::memory::Memory;
use super::tails;
use crate::bench::callers::{Callers, numbers};
use crate::bench::sheet::{Bound, Found, Part, Quantity};

/// HTTP/2 connections that carry the `req`s, 100 calls on each: as many as every HTTP/2 library may
/// begin before the gateway has said how many it takes.
const CONNECTIONS: usize = 120;

/// Hellos in a second.
const PER_SECOND: u32 = 200;

/// 99 of 100 hellos are answered within this, ms.
const NEARLY_ALL: f64 = 20.0;

/// Within the second in which the caller does nothing.
const SETTLED: Duration = Duration::from_millis(500);

/// So many that wait, and so many that are greeted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    sessions: usize,
    hellos: usize,
}

impl Pending {
    pub(super) fn new(sessions: usize, hellos: usize) -> Self {
        Self { sessions, hellos }
    }

    pub(super) fn settings(self) -> String {
        let Self { sessions, hellos } = self;
        format!(
            "Pending: {sessions} req on {CONNECTIONS} HTTP/2 connections, each with a listener of its own; {hellos} hellos to sessions drawn by the seed, {PER_SECOND} a second on one more connection, so that {} still wait at the end. A hello is timed from the moment it was due, whether or not earlier ones were answered, and so is the answer of its req.",
            sessions - hellos
        )
    }
}

impl Part for Pending {
    fn heading(&self) -> String {
        format!("hellos while {} req wait", self.sessions - self.hellos)
    }

    fn nominal(&self) -> Duration {
        let hellos = Duration::from_secs(1) * u32::try_from(self.hellos).unwrap_or(0) / PER_SECOND;
        hellos + Duration::from_secs(12)
    }

    fn measure(&self, seed: u64) -> Result<Vec<Found>> {
        let (netns, callers) = (Netns::new("pending")?, Callers::new()?);
        let place = Place::from(&netns);
        let settings = format!("max_sessions = 16384\n{}", callers.audit_settings());
        let gateway = callers
            .setup
            .serve(&callers.user, place, PORTS, &settings)?;
        let args = [
            ("--name", "wait".to_owned()),
            ("--sessions", self.sessions.to_string()),
            ("--connections", CONNECTIONS.to_string()),
            ("--hellos", self.hellos.to_string()),
            ("--per-second", PER_SECOND.to_string()),
            ("--seed", seed.to_string()),
        ];
        let mut words = vec!["pending".to_owned()];
        words.extend(
            args.into_iter()
                .flat_map(|(key, value)| [key.to_owned(), value]),
        );
        let caller = callers.call(place, &gateway, &words)?;
        let pending = caller.hear("pending")?;
        sleep(SETTLED);
        let memory = Memory::of(gateway.id())?;
        let said = caller.hear("hello_us")?;
        // A `req` is on record only once it is answered, so each session greeted has two calls.
        let took = Took::read(&callers.audit_file(), "wait", 2 * self.hellos)?;

        let targets = [None, Some(Bound::AtMost(NEARLY_ALL))];
        let mut found = tails("hello, caller side", numbers(&said, "hello_us")?, targets);
        let server = took.of_method("hello");
        found.extend(tails("hello, server side", server, [None, None]));
        let answers = numbers(&said, "req_us")?;
        found.extend(tails(
            "its req's answer, caller side",
            answers,
            [None, None],
        ));
        let seconds = pending["elapsed_us"].as_f64().unwrap_or_default() / 1e6;
        let until = Quantity::new("until all of them wait", "s", 1);
        found.push(until.found(seconds));
        found.extend(memory.found(&format!("with {} that wait", self.sessions), None));
        Ok(found)
    }
}
