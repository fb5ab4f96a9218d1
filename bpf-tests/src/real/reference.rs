//! A gateway as the reference's are, in Python: for our user client to drive.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Parts;
use crate::netns::Place;
use crate::process::Process;

/// How long Python may take until it listens, on a machine that others load.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running gateway.
#[derive(Debug)]
pub struct Reference {
    process: Process,
    control: SocketAddr,
}

impl Reference {
    /// Starts one on loopback with these arguments, and with the certificate in `tls` where one is
    /// given.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start(
        parts: &Parts,
        place: Place<'_>,
        tls: Option<&Path>,
        args: &[&str],
    ) -> Result<Self> {
        let mut command = parts.python(place, "reference_s2cs.py")?;
        command.args(args);
        if let Some(folder) = tls {
            command.arg("--server_crt").arg(folder.join("server.crt"));
            command.arg("--server_key").arg(folder.join("server.key"));
        }
        let process = Process::spawn(command)?;
        let control = process.wait_for_line(START_DEADLINE, |line| {
            line.strip_prefix("control ").map(str::to_owned)
        })?;
        let control = control
            .parse()
            .with_context(|| format!("`{control}` is no address"))?;
        Ok(Self { process, control })
    }

    /// Its control address.
    pub fn control(&self) -> String {
        self.control.to_string()
    }

    /// Waits until it says that it was called so: `req`, `hello`, `update`, `released`. Gives the
    /// rest of that line.
    ///
    /// # Errors
    /// At the deadline, with its last lines.
    pub fn wait_for(&self, call: &str) -> Result<String> {
        let prefix = format!("{call} ");
        self.process.wait_for_line(START_DEADLINE, |line| {
            line.strip_prefix(&prefix).map(str::to_owned)
        })
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        self.process.output().text()
    }
}
