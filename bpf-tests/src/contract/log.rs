//! The gateway's log as the cases read it: lines that are waited for, by connection or message.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::gateway::{ClosedConnection, LogLine};
use crate::patience::stretched;
use crate::traffic::Watch;

use super::closed::Closed;
use super::relay::Relay;

/// How long a line may take to appear after what causes it.
const LINE_PATIENCE: Duration = Duration::from_secs(20);
/// The message of the line that a connection leaves behind.
const CLOSED: &str = "connection closed";
/// The message of the line about a connection for which there was no upstream connection.
pub(super) const REFUSED: &str = "connection refused";

/// The log of one gateway.
pub struct Log {
    relay: Arc<dyn Relay>,
    watch: Watch,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    /// How many lines have been taken from the gateway's output.
    read: usize,
    /// By where they came from. A port may come round again before its first line is asked for.
    closed: HashMap<SocketAddr, VecDeque<ClosedConnection>>,
    closed_count: u64,
    /// Everything but the lines of closed connections.
    other: Vec<LogLine>,
    /// What must not be there: lines at level ERROR, broken lines, a panic's words.
    faults: Vec<String>,
}

impl Log {
    pub(super) fn new(relay: Arc<dyn Relay>, watch: Watch) -> Self {
        Self {
            relay,
            watch,
            lines: Mutex::default(),
        }
    }

    /// Waits for the closing line of the connection that came from `downstream`, and takes it.
    ///
    /// # Errors
    /// When it does not come.
    pub fn closed(&self, downstream: SocketAddr) -> Result<Closed> {
        self.wait(&format!("`{CLOSED}` of {downstream}"), |lines| {
            let queue = lines.closed.get_mut(&downstream)?;
            let record = queue.pop_front()?;
            if queue.is_empty() {
                lines.closed.remove(&downstream);
            }
            Some(Closed { record })
        })
    }

    /// As [`Self::closed`], for connections that come and go so fast that one takes the port of
    /// another before the other's line has been asked for: the line must have these counts.
    ///
    /// # Errors
    /// When no such line comes.
    pub fn closed_carrying(&self, downstream: SocketAddr, counts: [u64; 2]) -> Result<Closed> {
        let what = format!("`{CLOSED}` of {downstream} with {counts:?} bytes received");
        self.wait(&what, |lines| {
            let queue = lines.closed.get_mut(&downstream)?;
            let carried = |record: &ClosedConnection| {
                [record.to_upstream.received, record.to_downstream.received] == counts
            };
            let record = queue.remove(queue.iter().position(carried)?)?;
            if queue.is_empty() {
                lines.closed.remove(&downstream);
            }
            Some(Closed { record })
        })
    }

    /// Waits until the connection that came from `downstream` is gone: closed, or refused because
    /// no upstream connection came about.
    ///
    /// # Errors
    /// When neither is logged.
    pub fn gone(&self, downstream: SocketAddr) -> Result<()> {
        let name = downstream.to_string();
        self.wait(
            &format!("`{CLOSED}` or `{REFUSED}` of {downstream}"),
            |lines| {
                let refused = lines.other.iter().any(|line| {
                    line.message == REFUSED
                        && line.text("downstream").is_ok_and(|from| from == name)
                });
                (refused || lines.closed.remove(&downstream).is_some()).then_some(())
            },
        )
    }

    /// Waits until so many connections have left their closing line since the start.
    ///
    /// # Errors
    /// When they do not come.
    pub fn closed_connections(&self, count: u64) -> Result<()> {
        self.wait(&format!("`{CLOSED}` {count} times"), |lines| {
            (lines.closed_count >= count).then_some(())
        })
    }

    /// Waits for a line with this message that `wanted` accepts.
    ///
    /// # Errors
    /// When it does not come.
    pub fn line(&self, message: &str, wanted: impl Fn(&LogLine) -> bool) -> Result<LogLine> {
        self.wait(&format!("`{message}`"), |lines| {
            let mut latest_first = lines.other.iter().rev();
            latest_first
                .find(|line| line.message == message && wanted(line))
                .cloned()
        })
    }

    /// The lines so far with this message.
    pub fn lines_so_far(&self, message: &str) -> Vec<LogLine> {
        let mut lines = self.lines();
        lines.pull(&*self.relay);
        lines
            .other
            .iter()
            .filter(|line| line.message == message)
            .cloned()
            .collect()
    }

    /// What a run in which nothing went wrong does not log.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut lines = self.lines();
        lines.pull(&*self.relay);
        lines.faults.clone()
    }

    fn wait<T>(&self, what: &str, mut find: impl FnMut(&mut Lines) -> Option<T>) -> Result<T> {
        let _waiting = self.watch.waiting(format!("the gateway's line {what}"));
        let deadline = Instant::now() + stretched(LINE_PATIENCE);
        loop {
            let read = {
                let mut lines = self.lines();
                lines.pull(&*self.relay);
                if let Some(found) = find(&mut lines) {
                    return Ok(found);
                }
                lines.read
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.relay.wait_for_lines_beyond(read, left) {
                let tail = self.relay.tail();
                bail!("the gateway did not log {what}; its last lines:\n{tail}");
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn pull(&mut self, relay: &dyn Relay) {
        let (texts, read) = relay.lines_from(self.read);
        self.read = read;
        for text in texts {
            self.take(text);
        }
    }

    fn take(&mut self, text: String) {
        let Some(line) = LogLine::parse(&text) else {
            self.faults.push(text);
            return;
        };
        if line.level == "ERROR" {
            self.faults.push(text);
        }
        if line.message != CLOSED {
            self.other.push(line);
            return;
        }
        self.closed_count += 1;
        match ClosedConnection::from_line(&line) {
            Ok(record) => self
                .closed
                .entry(record.downstream)
                .or_default()
                .push_back(record),
            Err(error) => self.faults.push(format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_broken_lines_and_words_that_are_no_json_are_faults() {
        let mut lines = Lines::default();
        for text in [
            "thread 'main' panicked",
            r#"{"level":"ERROR","message":"ledger mismatch"}"#,
            r#"{"level":"INFO","message":"connection closed","downstream":"[::1]:5"}"#,
            r#"{"level":"INFO","message":"listening"}"#,
        ] {
            lines.take(text.to_owned());
        }
        assert_eq!(lines.faults.len(), 3, "{:?}", lines.faults);
        assert_eq!((lines.other.len(), lines.closed_count), (2, 1));
    }
}
