//! Memory with many sessions, each with an open connection: quiet, and with messages.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use bpf_tests::netns::{Netns, Place};

use super::cycles::{PORTS, QUIET};
use super::memory::Memory;
use super::tails;
use crate::bench::callers::{Callers, numbers};
use crate::bench::sheet::{Found, Part};

/// With messages on all connections, MB.
const MOVING: f64 = 40.0;

/// So many sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    sessions: usize,
}

impl Active {
    pub(super) fn new(sessions: usize) -> Self {
        Self { sessions }
    }

    pub(super) fn settings(self) -> String {
        format!(
            "Active: {} sessions, each with a listener, a target and one connection through it, which sends 1 KiB a second and takes it back; plane auto.",
            self.sessions
        )
    }
}

impl Part for Active {
    fn heading(&self) -> String {
        format!("{} active sessions", self.sessions)
    }

    fn nominal(&self) -> Duration {
        Duration::from_secs(14)
    }

    fn measure(&self, _seed: u64) -> Result<Vec<Found>> {
        let (netns, callers) = (Netns::new("active")?, Callers::new()?);
        let place = Place::from(&netns);
        let gateway = callers.setup.serve(&callers.user, place, PORTS, "")?;
        let count = self.sessions.to_string();
        let args = ["active", "--name", "busy", "--sessions", &count].map(str::to_owned);
        let caller = callers.call(place, &gateway, &args)?;
        caller.hear("open")?;
        sleep(QUIET);
        let quiet = Memory::of(gateway.id())?;
        let said = caller.hear("moving")?;
        let moving = Memory::of(gateway.id())?;

        let mut found = moving.found("with messages", Some(MOVING));
        found.extend(quiet.found("with quiet connections", None));
        let messages = numbers(&said, "message_us")?;
        found.extend(tails("a message and its echo", messages, [None, None]));
        Ok(found)
    }
}
