//! What a case runs against: the real gateway as a child process, or, to show that a check can
//! fail, a stand-in with a fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::gateway::LogLine;
use crate::netns::Place;
use crate::patience::stretched;
use crate::process::Process;

use super::mount::Mount;

/// How long the gateway may take until it listens: its self-test takes a few hundred milliseconds
/// on an idle machine.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long the gateway may take to dial.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// How long the gateway may take to end once it has nothing left to do.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// Something that accepts connections and moves their bytes to a target.
pub trait Relay: Send + Sync {
    /// Where it accepts.
    fn listen(&self) -> SocketAddr;

    /// Its process, where it has one of its own.
    fn process_id(&self) -> Option<u32>;

    /// Its log from the `from`th line on, and the number to continue from.
    fn lines_from(&self, from: usize) -> (Vec<String>, usize);

    /// Waits until its log has more than `count` lines; false if it ends or time is up first.
    fn wait_for_lines_beyond(&self, count: usize, patience: Duration) -> bool;

    /// The last lines of its log.
    fn tail(&self) -> String;

    /// Sends it a signal.
    fn signal(&self, signal: Signal) -> Result<()>;

    /// Ends it by SIGTERM, if it has not ended, and fails unless its exit code is 0.
    fn end(self: Arc<Self>) -> Result<()>;
}

/// `s2cs forward` as a child process.
pub(super) struct Gateway {
    process: Process,
    listen: SocketAddr,
}

impl Gateway {
    /// Starts it at `place` and waits until it accepts.
    pub(super) fn start(
        place: Place<'_>,
        mount: &Mount,
        [listen, target]: [SocketAddr; 2],
        args: &[String],
    ) -> Result<Self> {
        let mut command = place.command(&mount.program()?.to_string_lossy());
        command
            .args([
                "forward",
                "--log-format",
                "json",
                "--plane",
                mount.plane().as_str(),
                // Its own limit is in real seconds, on an emulated machine too.
                "--connect-timeout",
                &format!("{}s", stretched(CONNECT_PATIENCE).as_secs()),
            ])
            .args([
                "--listen",
                &listen.to_string(),
                "--target",
                &target.to_string(),
            ])
            .args(args);
        let process = Process::spawn(command)?;
        let listen = process.wait_for_line(stretched(START_PATIENCE), |text| {
            let line = LogLine::parse(text).filter(|line| line.message == "listening")?;
            line.text("listen").ok()?.parse().ok()
        })?;
        Ok(Self { process, listen })
    }
}

impl Relay for Gateway {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn process_id(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn lines_from(&self, from: usize) -> (Vec<String>, usize) {
        self.process.output().lines_from(from)
    }

    fn wait_for_lines_beyond(&self, count: usize, patience: Duration) -> bool {
        self.process.output().wait_beyond(count, patience)
    }

    fn tail(&self) -> String {
        self.process.output().tail()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    fn end(self: Arc<Self>) -> Result<()> {
        let gateway = Arc::into_inner(self).context("the gateway is still in use")?;
        let mut process = gateway.process;
        let status = process.terminate(stretched(END_PATIENCE))?;
        let tail = process.output().tail();
        ensure!(
            status.success(),
            "the gateway ended with {status}; its last lines:\n{tail}"
        );
        Ok(())
    }
}
