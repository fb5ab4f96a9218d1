//! The audit log: one JSON object a line for every control call, appended and never rewritten.
//!
//! A thread of its own writes, so that a slow disk holds up calls only when thousands of lines wait
//! already; lines are never thrown away for want of room. Without a file the same facts go to the
//! daemon's log.

mod sanitise;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::rfc3339::Moment;
pub use sanitise::sanitise;
use serde::Serialize;

/// Lines that may wait for the disk; the queue has room for them from the start, so they are boxed.
const WAITING_MAX: usize = 4_096;

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be appended to.
    #[error("the audit log {} cannot be appended to: {cause}; check its folder and owner", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The writing thread did not start.
    #[error("the audit log cannot be written: {cause}; raise the limit on threads")]
    Thread {
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// A control call, as it is kept.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The method, such as `scistream.Control/req`.
    pub call: &'a str,
    /// The caller's name; `None` if it was not found out.
    pub who: Option<&'a str>,
    /// What people call the caller.
    pub name: Option<&'a str>,
    /// The session it was about; empty for none.
    pub uid: &'a str,
    /// `OK`, or the code of the refusal.
    pub result: &'a str,
    /// The sentence of a refusal; empty for none.
    pub message: &'a str,
    /// Where the call came from.
    pub from: Option<SocketAddr>,
    /// From the moment its headers were here, before anybody was asked who the caller is, to the
    /// moment its answer was known. A `req` waits for its hello within it.
    pub took: Duration,
}

/// A line of the file.
#[derive(Serialize)]
struct Line {
    time: String,
    call: String,
    who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    result: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    from: Option<SocketAddr>,
    took_us: u64,
}

/// Where control calls are recorded.
#[derive(Debug)]
pub struct Audit {
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    File { lines: SyncSender<Box<Line>> },
    Log,
}

/// Writes what still waits when dropped; every [`Audit`] must be gone by then.
#[derive(Debug)]
pub struct AuditGuard {
    writer: Option<thread::JoinHandle<()>>,
}

impl Drop for AuditGuard {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            // It only ends by a panic or after the last line; there is nothing to do about either.
            let _ended = writer.join();
        }
    }
}

impl Audit {
    /// Records calls in the daemon's log.
    pub fn in_the_log() -> Self {
        Self { sink: Sink::Log }
    }

    /// Appends to a file, which is made for its owner alone if there is none.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread started.
    pub fn append_to(path: &Path) -> Result<(Self, AuditGuard), AuditError> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|cause| AuditError::Open {
                path: path.to_owned(),
                cause,
            })?;
        let (lines, queue) = sync_channel(WAITING_MAX);
        let writer = thread::Builder::new()
            .name("s2cs-audit".to_owned())
            .spawn(move || write_all(file, queue))
            .map_err(|cause| AuditError::Thread { cause })?;
        let guard = AuditGuard {
            writer: Some(writer),
        };
        let sink = Sink::File { lines };
        Ok((Self { sink }, guard))
    }

    /// Records a call. Waits only while thousands of lines wait for the disk: a gateway that cannot
    /// record control calls answers none.
    pub fn record(&self, entry: &Entry<'_>) {
        let line = Line::new(entry);
        match &self.sink {
            Sink::File { lines } => {
                if lines.send(Box::new(line)).is_err() {
                    tracing::error!(
                        "a control call could not be recorded: the audit log's thread has ended"
                    );
                }
            }
            Sink::Log => tracing::info!(
                call = line.call,
                who = line.who.as_deref().unwrap_or(""),
                uid = line.uid,
                result = line.result,
                reason = line.message,
                from = %line.from.map(|from| from.to_string()).unwrap_or_default(),
                took_us = line.took_us,
                "control call"
            ),
        }
    }
}

impl Line {
    fn new(entry: &Entry<'_>) -> Self {
        let Entry {
            call,
            who,
            name,
            uid,
            result,
            message,
            from,
            took,
        } = entry;
        Self {
            time: Moment::now().to_string(),
            call: sanitise(call),
            who: who.map(sanitise),
            name: name.map(sanitise),
            uid: sanitise(uid),
            result: (*result).to_owned(),
            message: sanitise(message),
            from: *from,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

fn write_all(mut file: File, lines: Receiver<Box<Line>>) {
    for line in lines {
        // One write for a line: another process that appends to the file cannot come in between.
        let written = serde_json::to_vec(&line)
            .map_err(io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                file.write_all(&text)
            });
        if let Err(error) = written {
            tracing::error!(call = line.call, who = line.who.as_deref().unwrap_or(""), uid = line.uid, result = line.result,
                %error, "a control call could not be written to the audit log; make room on its disk");
        }
    }
}
