//! Stopping: connections may end by themselves for a while, then they are reset.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::listener::Route;

/// How long connections get to close once they are told to.
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often they are told: one may have reached its target just now.
const ABORT_INTERVAL: Duration = Duration::from_millis(20);

/// How draining ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Every connection ended by itself.
    Finished,
    /// The operator would not wait: the rest was reset.
    Interrupted,
    /// The drain time ran out: the rest was reset.
    TimedOut,
}

impl Drained {
    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Waits for the connections of a route that accepts no more: at most `limit`, or until
/// `interrupted`; resets what is left then.
pub async fn drain(
    route: &Route,
    limit: Option<Duration>,
    interrupted: impl Future<Output = ()>,
) -> Drained {
    let time_out = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        biased;
        () = route.admission.all_closed() => return Drained::Finished,
        () = interrupted => Drained::Interrupted,
        () = time_out => Drained::TimedOut,
    };
    abort(route).await;
    outcome
}

async fn abort(route: &Route) {
    let deadline = Instant::now() + ABORT_TIMEOUT;
    while Instant::now() < deadline {
        route.abort_all();
        let closed = timeout(ABORT_INTERVAL, route.admission.all_closed()).await;
        if closed.is_ok() {
            return;
        }
    }
    let connections = route.admission.open();
    tracing::error!(
        connections,
        "connections did not close; they end with this process"
    );
}
