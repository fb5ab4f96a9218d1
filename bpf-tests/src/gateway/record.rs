//! The gateway's log lines, parsed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// One line of the log: a flat JSON object.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// What happened: `listening`, `connection closed`.
    pub message: String,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE`.
    pub level: String,
    fields: Map<String, Value>,
}

/// A connection that has ended, as the log has it.
#[derive(Clone, Debug)]
pub struct ClosedConnection {
    /// The peer that dialled the gateway.
    pub downstream: SocketAddr,
    /// The target the gateway dialled.
    pub upstream: SocketAddr,
    /// The listener it came by.
    pub listen: SocketAddr,
    /// `finished`, `downstream_reset`, ...: the closed set of the daemon.
    pub reason: String,
    /// From accept to close.
    pub duration: Duration,
    /// Downstream to upstream.
    pub to_upstream: DirectionRecord,
    /// Upstream to downstream.
    pub to_downstream: DirectionRecord,
}

/// One direction of a connection that has ended. All counts are bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectionRecord {
    /// Moved, by the kernel and by user space.
    pub bytes: u64,
    /// What the ingress socket received.
    pub received: u64,
    /// What the egress socket took.
    pub accepted: u64,
    /// Moved by the sockmap verdict.
    pub redirected: u64,
    /// Moved by splice(2).
    pub spliced: u64,
    /// Moved through a buffer.
    pub copied: u64,
    /// The plane it ended on.
    pub plane: String,
    /// redirected / moved, 0 to 1.
    pub kernel_share: f64,
    /// How often the verdict went from redirecting to passing.
    pub flips: u64,
}

impl LogLine {
    /// Parses a line; `None` when it is no log line.
    pub fn parse(line: &str) -> Option<Self> {
        let Ok(Value::Object(fields)) = serde_json::from_str(line) else {
            return None;
        };
        let text = |key: &str| Some(fields.get(key)?.as_str()?.to_owned());
        Some(Self {
            message: text("message")?,
            level: text("level")?,
            fields,
        })
    }

    /// A field that is text.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, key: &str) -> Result<&str> {
        self.field(key, Value::as_str)
    }

    /// A field that is a whole number.
    ///
    /// # Errors
    /// When there is none.
    pub fn count(&self, key: &str) -> Result<u64> {
        self.field(key, Value::as_u64)
    }

    /// A field that is a number.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&self, key: &str) -> Result<f64> {
        self.field(key, Value::as_f64)
    }

    fn field<'a, T>(&'a self, key: &str, pick: impl Fn(&'a Value) -> Option<T>) -> Result<T> {
        self.fields.get(key).and_then(pick).with_context(|| {
            format!(
                "the log line `{}` has no usable `{key}`: {:?}",
                self.message, self.fields
            )
        })
    }

    fn address(&self, key: &str) -> Result<SocketAddr> {
        let text = self.text(key)?;
        text.parse()
            .with_context(|| format!("`{key}` is `{text}`, which is no address"))
    }
}

impl ClosedConnection {
    /// Reads the record of a `connection closed` line.
    ///
    /// # Errors
    /// When it lacks what the contract promises.
    pub fn from_line(line: &LogLine) -> Result<Self> {
        Ok(Self {
            downstream: line.address("downstream")?,
            upstream: line.address("upstream")?,
            listen: line.address("listen")?,
            reason: line.text("reason")?.to_owned(),
            duration: Duration::from_millis(line.number("duration_ms")?.max(0.0) as u64),
            to_upstream: DirectionRecord::from_line(line, "to_upstream")?,
            to_downstream: DirectionRecord::from_line(line, "to_downstream")?,
        })
    }
}

impl DirectionRecord {
    fn from_line(line: &LogLine, direction: &str) -> Result<Self> {
        let key = |name: &str| format!("{direction}_{name}");
        Ok(Self {
            bytes: line.count(&key("bytes"))?,
            received: line.count(&key("received"))?,
            accepted: line.count(&key("accepted"))?,
            redirected: line.count(&key("redirected"))?,
            spliced: line.count(&key("spliced"))?,
            copied: line.count(&key("copied"))?,
            plane: line.text(&key("plane"))?.to_owned(),
            kernel_share: line.number(&key("kernel_share"))?,
            flips: line.count(&key("flips"))?,
        })
    }

    /// Bytes that came in and did not get out, or got out twice: 0 after a clean end.
    pub fn lost(&self) -> u64 {
        let moved = self.redirected + self.spliced + self.copied;
        self.received
            .abs_diff(moved)
            .max(moved.abs_diff(self.accepted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"timestamp":"t","level":"INFO","message":"connection closed",
        "downstream":"10.0.0.1:1","upstream":"[fd00::1]:2","listen":"10.0.0.2:3",
        "reason":"finished","duration_ms":1500,
        "to_upstream_bytes":10,"to_upstream_received":10,"to_upstream_accepted":10,
        "to_upstream_redirected":7,"to_upstream_spliced":3,"to_upstream_copied":0,
        "to_upstream_plane":"sockmap","to_upstream_kernel_share":0.7,"to_upstream_flips":1,
        "to_downstream_bytes":4,"to_downstream_received":5,"to_downstream_accepted":4,
        "to_downstream_redirected":0,"to_downstream_spliced":0,"to_downstream_copied":4,
        "to_downstream_plane":"copy","to_downstream_kernel_share":0,"to_downstream_flips":0}"#;

    #[test]
    fn a_closed_connection_is_read_in_full() {
        let closed = ClosedConnection::from_line(&LogLine::parse(LINE).unwrap()).unwrap();
        assert_eq!(closed.duration, Duration::from_millis(1500));
        assert_eq!(closed.upstream.port(), 2);
        assert_eq!(
            (closed.to_upstream.redirected, closed.to_upstream.lost()),
            (7, 0)
        );
        assert_eq!(closed.to_downstream.lost(), 1);
    }

    #[test]
    fn a_record_without_a_promised_field_is_an_error_that_names_it() {
        let line = LINE.replace("to_upstream_flips", "other");
        let error = ClosedConnection::from_line(&LogLine::parse(&line).unwrap()).unwrap_err();
        assert!(error.to_string().contains("`to_upstream_flips`"), "{error}");
    }
}
