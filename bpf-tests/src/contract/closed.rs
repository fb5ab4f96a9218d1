//! The line a connection leaves behind in the gateway's log, and what it must say.

use anyhow::{Result, ensure};

use crate::gateway::{ClosedConnection, DirectionRecord, Plane};

/// The closing line of one connection, held against what the two ends know.
#[derive(Debug)]
pub struct Closed {
    /// The line.
    pub record: ClosedConnection,
}

impl Closed {
    /// Both directions, the one to the upstream first.
    pub fn directions(&self) -> [&DirectionRecord; 2] {
        [&self.record.to_upstream, &self.record.to_downstream]
    }

    /// Fails unless the connection ended for this reason.
    ///
    /// # Errors
    /// The reason in the log.
    pub fn ended(&self, reason: &str) -> Result<()> {
        ensure!(
            self.record.reason == reason,
            "the gateway says it ended by `{}` where `{reason}` is true: {:?}",
            self.record.reason,
            self.record
        );
        Ok(())
    }

    /// Fails unless the ledger balances and each direction carried what its ends counted.
    ///
    /// # Errors
    /// The figures.
    pub fn carried(&self, to_upstream: u64, to_downstream: u64) -> Result<()> {
        for (direction, counted) in self
            .directions()
            .into_iter()
            .zip([to_upstream, to_downstream])
        {
            ensure!(
                parts(direction) == direction.bytes,
                "the parts do not add up to the bytes moved: {:?}",
                self.record
            );
            let DirectionRecord {
                bytes,
                received,
                accepted,
                ..
            } = direction;
            ensure!(
                [received, bytes, accepted] == [&counted; 3],
                "the ends counted {counted} bytes; the gateway received {received}, moved {bytes}, \
                 and {accepted} were accepted: {:?}",
                self.record
            );
        }
        Ok(())
    }

    /// Fails if more came out of a direction than went in, which no end of a connection excuses.
    ///
    /// # Errors
    /// The figures.
    pub fn invented_nothing(&self) -> Result<()> {
        for direction in self.directions() {
            ensure!(
                parts(direction) == direction.bytes
                    && direction.bytes <= direction.received
                    && direction.accepted <= direction.received,
                "more bytes came out than went in: {:?}",
                self.record
            );
        }
        Ok(())
    }

    /// Fails if a direction ended on a plane that the operator did not ask for, or if bytes moved
    /// by means that this plane does not have.
    ///
    /// # Errors
    /// The planes.
    pub fn on_plane(&self, asked: Plane) -> Result<()> {
        for direction in self.directions() {
            let by_others = match asked {
                Plane::Copy => direction.redirected + direction.spliced,
                Plane::Splice => direction.redirected,
                Plane::Auto | Plane::Sockmap => 0,
            };
            ensure!(
                planes_allowed(asked).contains(&direction.plane.as_str()) && by_others == 0,
                "--plane {asked} moved bytes by another plane's means: {:?}",
                self.record
            );
        }
        Ok(())
    }

    /// Fails unless the kernel redirected bytes in both directions.
    ///
    /// # Errors
    /// The figures.
    pub fn redirected_both_ways(&self) -> Result<()> {
        ensure!(
            self.directions().iter().all(|one| one.redirected > 0),
            "the kernel redirected nothing in one direction at least: {:?}",
            self.record
        );
        Ok(())
    }
}

fn parts(direction: &DirectionRecord) -> u64 {
    direction.redirected + direction.spliced + direction.copied
}

/// The planes a direction may end on. Under `sockmap` a direction whose hand-over never finds the
/// ingress empty, or whose socket got its FIN before it, stays where it began.
fn planes_allowed(asked: Plane) -> &'static [&'static str] {
    match asked {
        Plane::Copy => &["copy"],
        Plane::Splice => &["splice"],
        Plane::Auto | Plane::Sockmap => &["sockmap", "splice"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::LogLine;
    use serde_json::{Value, json};

    fn closed(received: u64, redirected: u64, accepted: u64) -> Closed {
        let mut line = json!({
            "message": "connection closed", "level": "INFO", "reason": "finished",
            "downstream": "10.0.0.1:1", "upstream": "10.0.0.2:2", "listen": "10.0.0.3:3",
            "duration_ms": 1,
        });
        for direction in ["to_upstream", "to_downstream"] {
            let mut put = |key: &str, value: Value| line[format!("{direction}_{key}")] = value;
            put("bytes", json!(redirected + 5));
            put("received", json!(received));
            put("accepted", json!(accepted));
            put("redirected", json!(redirected));
            put("spliced", json!(0));
            put("copied", json!(5));
            put("flips", json!(0));
            put("kernel_share", json!(0.5));
            put("plane", json!("sockmap"));
        }
        let line = LogLine::parse(&line.to_string()).unwrap();
        let record = ClosedConnection::from_line(&line).unwrap();
        Closed { record }
    }

    #[test]
    fn a_ledger_that_balances_is_accepted() {
        let closed = closed(15, 10, 15);
        closed.carried(15, 15).unwrap();
        closed.invented_nothing().unwrap();
        closed.on_plane(Plane::Sockmap).unwrap();
        closed.redirected_both_ways().unwrap();
        closed.ended("finished").unwrap();
    }

    #[test]
    fn a_ledger_that_does_not_balance_is_refused() {
        for (received, redirected, accepted, counted) in [
            (16, 10, 15, 15),
            (15, 9, 15, 15),
            (15, 10, 14, 15),
            (15, 10, 15, 16),
        ] {
            closed(received, redirected, accepted)
                .carried(counted, counted)
                .unwrap_err();
        }
        closed(14, 10, 14).invented_nothing().unwrap_err();
    }

    #[test]
    fn what_the_operator_did_not_ask_for_is_refused() {
        let closed = closed(15, 10, 15);
        closed.on_plane(Plane::Copy).unwrap_err();
        closed.on_plane(Plane::Splice).unwrap_err();
        closed.ended("upstream_reset").unwrap_err();
        let idle = self::closed(5, 0, 5);
        idle.redirected_both_ways().unwrap_err();
    }
}
