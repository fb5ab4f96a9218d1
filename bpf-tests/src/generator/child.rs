//! The two ends of a run as processes in their places, for tests and benchmarks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use super::cli::LISTENING;
use super::{Load, Receive, Report, SendReport};
use crate::command;
use crate::netns::Place;
use crate::process::Process;
use crate::sys;

/// How long a receiver may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// What a run may take beyond twice its time: dialling, draining queues, the results.
const END_GRACE: Duration = Duration::from_secs(60);

/// A `traffic receive` that listens.
#[derive(Debug)]
pub struct Receiver {
    process: Process,
    address: SocketAddr,
}

/// A `traffic send` at work.
#[derive(Debug)]
pub struct Sender {
    process: Process,
    deadline: Duration,
}

impl Receiver {
    /// Starts `binary` at `place` and waits until it listens.
    ///
    /// # Errors
    /// When it does not: the address is not of this place, say.
    pub fn start<'a>(
        binary: &Path,
        place: impl Into<Place<'a>>,
        options: &Receive,
    ) -> Result<Self> {
        let mut command = place.into().command(&binary.to_string_lossy());
        command.args(options.arguments());
        let process = Process::spawn(command)?;
        let address = process.wait_for_line(START_DEADLINE, |line| {
            line.strip_prefix(LISTENING)?.parse().ok()
        })?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the end of the run; to be called when the sender has ended.
    ///
    /// # Errors
    /// When a stream did not end or a byte was wrong, in its own words.
    pub fn finish(mut self) -> Result<Report> {
        result(&mut self.process, END_GRACE)
    }
}

impl Sender {
    /// Starts `binary` at `place`; `to` is the receiver's address, or a gateway's before it.
    ///
    /// # Errors
    /// When the load makes no sense or the program cannot be started.
    pub fn start<'a>(
        binary: &Path,
        place: impl Into<Place<'a>>,
        load: &Load,
        to: SocketAddr,
    ) -> Result<Self> {
        Self::start_on(binary, place, load, to, None)
    }

    /// As [`Sender::start`], on these CPUs only.
    ///
    /// # Errors
    /// As [`Sender::start`].
    pub fn start_on<'a>(
        binary: &Path,
        place: impl Into<Place<'a>>,
        load: &Load,
        to: SocketAddr,
        cpus: Option<&[usize]>,
    ) -> Result<Self> {
        load.check()?;
        let mut command = place.into().command(&binary.to_string_lossy());
        command.args(load.arguments(to));
        if let Some(cpus) = cpus {
            sys::start_on_cpus(&mut command, cpus);
        }
        Ok(Self {
            process: Process::spawn(command)?,
            deadline: load.duration * 2 + load.patience + END_GRACE,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it ends within this time; waits for that long at most.
    ///
    /// # Errors
    /// What poll(2) answers.
    pub fn ends_within(&self, patience: Duration) -> Result<bool> {
        self.process.ends_within(patience)
    }

    /// Waits until everything is sent and the receiver has taken it.
    ///
    /// # Errors
    /// When nobody takes it, in its own words.
    pub fn finish(mut self) -> Result<SendReport> {
        result(&mut self.process, self.deadline)
    }
}

/// The `traffic` that cargo built in `profile` (`debug`, `release`) beside this program.
///
/// # Errors
/// When there is none; the error says how to build it.
pub fn find_traffic(profile: &str) -> Result<PathBuf> {
    let found = command::find_built("traffic", profile)?;
    found.with_context(|| {
        format!(
            "there is no {profile} build of traffic; build it with `cargo build --package \
             bpf-tests --bin traffic` (and `--release`)"
        )
    })
}

/// Waits for the end and reads the line of JSON.
fn result<T: DeserializeOwned>(process: &mut Process, deadline: Duration) -> Result<T> {
    process.wait_for_success(deadline)?;
    let text = process.output().text();
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("`{}` wrote no result", process.line()))?;
    serde_json::from_str(line)
        .with_context(|| format!("the result of `{}` is not understood", process.line()))
}
