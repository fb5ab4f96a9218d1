//! Reads what sessions move, several times a second, and paces them where they want more than they
//! may have.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Resolved;
use super::running::Shared;
use super::shell::Shell;
use crate::session::Rate;
use crate::session::exchange::Input;
use crate::session::share::{Demand, among_sessions};

/// How often.
const INTERVAL: Duration = Duration::from_millis(250);

/// Reads and paces as long as there is a gateway; sleeps while it has no sessions.
pub(super) async fn pace(shell: Weak<Shell>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Some(mut any) = shell.upgrade().map(|shell| shell.any()) else {
            return;
        };
        if any.wait_for(|open| *open > 0).await.is_err() {
            return;
        }
        ticks.tick().await;
        if let Some(shell) = shell.upgrade() {
            round(&shell, Instant::now());
        }
    }
}

fn round(shell: &Arc<Shell>, now: Instant) {
    let sessions = shell.all_running();
    for session in &sessions {
        let moved = session.route.open.moved();
        let moved = [moved.to_upstream, moved.to_downstream];
        let read = |open: &_| session.meter.read(moved, open, now);
        if session.route.open.with(read) && session.terms.idle_timeout.is_some() {
            let key = session.key;
            shell.feed(Input::Moved { key }, &Resolved::new());
        }
    }
    if let Some(capacity) = shell.config.registry.capacity {
        allot(capacity, &sessions);
    }
    for session in &sessions {
        session.route.open.with(|open| session.meter.share(open));
    }
}

fn allot(capacity: Rate, sessions: &[Shared]) {
    let [to_upstream, to_downstream] = [0, 1].map(|index| {
        let demands: Vec<Demand> = sessions
            .iter()
            .map(|session| Demand {
                reserved: session.terms.reserved,
                usage: session.meter.usage(index),
            })
            .collect();
        among_sessions(capacity, &demands)
    });
    let both = to_upstream.into_iter().zip(to_downstream);
    for (session, (up, down)) in sessions.iter().zip(both) {
        session.meter.allot([up, down]);
    }
}
