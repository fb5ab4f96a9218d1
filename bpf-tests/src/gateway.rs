//! The real `s2cs`, `forward` or `serve`, as a child: started, watched through its JSON log, ended.
//!
//! What the log says is the contract between the daemon and everything that measures it:
//! `listening`, `control port ready`, `plane chosen`, `plane declined`, `connection closed`, `connection refused`,
//! `ledger mismatch`, `stats`, `draining`, `stopped`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::command;
use crate::patience::stretched;
use crate::process::Process;

mod options;
mod record;

pub use options::{GatewayOptions, Plane};
pub use record::{ClosedConnection, DirectionRecord, LogLine};

/// How long a gateway may take until it listens: its self-test takes a few hundred milliseconds,
/// on a machine that others load.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Names the `s2cs` to run instead of the one that cargo built.
pub const BINARY_VARIABLE: &str = "SCISTREAM_S2CS";

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    addresses: Vec<SocketAddr>,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<LogLine>,
    read: usize,
}

impl Gateway {
    fn new(process: Process) -> Self {
        Self {
            process,
            addresses: Vec::new(),
            log: Mutex::default(),
        }
    }

    /// Runs `command`, which is `s2cs serve` with `--log-format json`, and waits until its control
    /// port is ready; that is its address.
    ///
    /// # Errors
    /// When it ends instead, with its own reason, or is not ready in time.
    pub fn serve(command: Command) -> Result<Self> {
        let gateway = Self::new(Process::spawn(command)?);
        gateway.wait_for_listeners("control port ready", 1)
    }

    /// Where it listens, in the order of the options, with real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where its first listener is.
    ///
    /// # Errors
    /// When it was launched without waiting for listeners.
    pub fn address(&self) -> Result<SocketAddr> {
        self.addresses
            .first()
            .copied()
            .context("this gateway has no listener")
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The child, to signal it or to read its raw output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.read_log().lines.clone()
    }

    /// The connections closed so far, in that order.
    ///
    /// # Errors
    /// When a record lacks what the log's contract promises.
    pub fn closed(&self) -> Result<Vec<ClosedConnection>> {
        self.messages("connection closed")
            .iter()
            .map(ClosedConnection::from_line)
            .collect()
    }

    /// The lines with this message so far.
    pub fn messages(&self, message: &str) -> Vec<LogLine> {
        let log = self.read_log();
        log.lines
            .iter()
            .filter(|line| line.message == message)
            .cloned()
            .collect()
    }

    /// Waits until `count` connections are closed and gives them all.
    ///
    /// # Errors
    /// At the deadline or when the gateway has ended before; when a record is incomplete.
    pub fn wait_closed(&self, count: usize, deadline: Duration) -> Result<Vec<ClosedConnection>> {
        self.wait_messages("connection closed", count, deadline)?;
        self.closed()
    }

    /// Waits until there are `count` lines with this message and gives them all.
    ///
    /// # Errors
    /// At the deadline or when the gateway has ended before; the error has its last lines.
    pub fn wait_messages(
        &self,
        message: &str,
        count: usize,
        deadline: Duration,
    ) -> Result<Vec<LogLine>> {
        let end = Instant::now() + deadline;
        let (mut looked_at, mut found) = (0, 0);
        loop {
            let log = self.read_log();
            let fresh = log.lines.iter().skip(looked_at);
            found += fresh.filter(|line| line.message == message).count();
            looked_at = log.lines.len();
            let read = log.read;
            drop(log);
            if found >= count {
                return Ok(self.messages(message));
            }
            let left = end.saturating_duration_since(Instant::now());
            if !self.process.output().wait_beyond(read, left) {
                let tail = self.process.output().tail();
                bail!(
                    "the gateway wrote `{message}` {found} times, not {count}; its last lines:\n{tail}"
                );
            }
        }
    }

    /// The plane it says it runs: `auto`, `copy`, `sockmap` or `splice`.
    ///
    /// # Errors
    /// When the log does not say.
    pub fn plane(&self) -> Result<String> {
        let chosen = self.messages("plane chosen");
        let chosen = chosen.first().context("the gateway's log names no plane")?;
        Ok(chosen.text("plane")?.to_owned())
    }

    /// The planes it declined when it started: plane and reason.
    ///
    /// # Errors
    /// When a line lacks either.
    pub fn declines(&self) -> Result<Vec<(String, String)>> {
        let pick = |line: &LogLine| {
            Ok((
                line.text("plane")?.to_owned(),
                line.text("reason")?.to_owned(),
            ))
        };
        self.messages("plane declined").iter().map(pick).collect()
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Errors
    /// When it has not ended at the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus> {
        self.process.terminate(deadline)
    }

    /// SIGKILL, and reaps.
    ///
    /// # Errors
    /// What wait(2) answers.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.process.kill()
    }

    /// Its own words for why it ended: the latest error of its log, else its last line.
    pub fn last_words(&self) -> String {
        let log = self.read_log();
        if let Some(line) = log.lines.iter().rev().find(|line| line.level == "ERROR") {
            return match line.text("error") {
                Ok(error) => format!("{}: {error}", line.message),
                Err(_) => line.message.clone(),
            };
        }
        drop(log);
        // clap's first line accuses; the others tell how to ask for help.
        let text = self.process.output().text();
        let accusing = text.lines().find(|line| line.starts_with("error: "));
        let words = accusing
            .or_else(|| text.lines().last())
            .unwrap_or("it said nothing");
        words.trim_start_matches("error: ").to_owned()
    }

    fn wait_for_listeners(mut self, message: &str, count: usize) -> Result<Self> {
        let lines = self.wait_messages(message, count, stretched(START_DEADLINE));
        let lines =
            lines.map_err(|_| anyhow!("the gateway did not start: {}", self.last_words()))?;
        let address = |line: &LogLine| -> Result<SocketAddr> {
            let text = line.text("listen")?;
            text.parse()
                .with_context(|| format!("`{text}` is no address to listen on"))
        };
        self.addresses = lines.iter().map(address).collect::<Result<_>>()?;
        Ok(self)
    }

    fn read_log(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, read) = self.process.output().lines_from(log.read);
        log.read = read;
        // A panic's words, say, are no JSON: they stay in the raw output only.
        log.lines
            .extend(lines.iter().filter_map(|line| LogLine::parse(line)));
        log
    }
}

/// The `s2cs` to run: what `SCISTREAM_S2CS` names, else the one that cargo built in `profile`
/// (`debug`, `release`) beside this program.
///
/// # Errors
/// When there is none; the error says how to build it.
pub fn find_s2cs(profile: &str) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        bail!(
            "{BINARY_VARIABLE} names {}, which is no file",
            named.display()
        );
    }
    command::find_built("s2cs", profile)?.with_context(|| {
        format!("there is no {profile} build of s2cs; build it with `cargo xtask build`")
    })
}
