//! Which plane moves the bytes at this moment, where the gateways choose it.

use std::time::{Duration, Instant};

use anyhow::Result;
use bpf_tests::gateway::{Gateway, Plane};
use bpf_tests::process::Process;
use serde_json::Value;

use super::session::Session;
use super::summary::Moved;

/// How often a gateway is asked: starting a program to ask takes CPU from what is measured.
const ASKING_INTERVAL: Duration = Duration::from_millis(500);

/// Who can tell.
pub(super) enum PlaneSource<'a> {
    /// The gateway reports its totals (`--stats-interval`).
    Reports,
    /// `s2uc show` asks for the session.
    Session(Session<'a>),
}

/// Watches one load over one path.
pub(super) enum PlaneWatch<'a> {
    /// There is nothing to tell: no gateway, or one that was told which plane to take.
    Idle,
    /// By what was moved from report to report.
    Reports {
        gateway: &'a Gateway,
        before: Option<Moved>,
    },
    /// By asking again and again.
    Session {
        session: &'a Session<'a>,
        asking: Option<Process>,
        next: Instant,
        latest: Option<&'static str>,
    },
}

impl<'a> PlaneWatch<'a> {
    /// Begins to watch `gateway` by what `source` tells.
    pub(super) fn begin(source: &'a PlaneSource<'a>, gateway: &'a Gateway) -> Self {
        match source {
            PlaneSource::Reports => Self::Reports {
                gateway,
                before: moved(gateway),
            },
            PlaneSource::Session(session) => Self::Session {
                session,
                asking: None,
                next: Instant::now() + ASKING_INTERVAL,
                latest: None,
            },
        }
    }

    /// The plane as of now; `None` while it is not known.
    ///
    /// Errors when `s2uc` cannot be started.
    pub(super) fn now(&mut self) -> Result<Option<&'static str>> {
        match self {
            Self::Idle => Ok(None),
            Self::Reports { gateway, before } => {
                let now = moved(gateway);
                let delta = now.zip(*before).map(|(now, before)| now.since(&before));
                *before = now;
                Ok(delta.and_then(|delta| delta.leader()))
            }
            Self::Session {
                session,
                asking,
                next,
                latest,
            } => {
                if let Some(process) =
                    asking.take_if(|it| it.ends_within(Duration::ZERO).unwrap_or(true))
                {
                    *latest = answered(process).or(*latest);
                } else if asking.is_none() && Instant::now() >= *next {
                    *asking = Some(Process::spawn(session.show_command())?);
                    *next = Instant::now() + ASKING_INTERVAL;
                }
                Ok(*latest)
            }
        }
    }
}

/// What the gateway has moved so far, by its latest report.
fn moved(gateway: &Gateway) -> Option<Moved> {
    let stats = gateway.messages("stats").pop()?;
    let count = |key: &str| stats.count(key).ok();
    Some(Moved {
        redirected: count("redirected")?,
        spliced: count("spliced")?,
        copied: count("copied")?,
    })
}

/// The plane that `s2uc show` told; `None` where it told none.
fn answered(mut process: Process) -> Option<&'static str> {
    let ended = process.wait(ASKING_INTERVAL).ok()?;
    let text = process.output().text();
    let answer: Value = serde_json::from_str(text.trim()).ok()?;
    ended.success().then(|| busiest_plane(&answer))?
}

/// The plane of the connection that moved most towards the one who dialled.
fn busiest_plane(session: &Value) -> Option<&'static str> {
    let connections = session.get("connections")?.as_array()?.iter();
    let back = connections.filter_map(|connection| connection.get("to_downstream"));
    let busiest = back.max_by_key(|direction| direction.get("bytes").and_then(Value::as_u64))?;
    let name = busiest.get("plane")?.as_str()?;
    let known = Plane::ALL.map(Plane::as_str);
    known.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_connection_tells_the_plane() {
        let session = serde_json::json!({ "connections": [
            { "to_downstream": { "plane": "splice", "bytes": 900 } },
            { "to_downstream": { "plane": "sockmap", "bytes": 1_000_000 } },
            { "to_downstream": null },
        ]});
        assert_eq!(busiest_plane(&session), Some("sockmap"));
        assert_eq!(
            busiest_plane(&serde_json::json!({ "connections": [] })),
            None
        );
    }
}
