//! How sessions come back at the start: names looked up, listeners bound, streams as they were.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Resolved;
use super::shell::Shell;
use crate::listener::Targets;
use crate::session::exchange::Input;
use crate::session::{SavedSession, Target};

/// How long the start waits for names: a resolver that is down must not keep everything down.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two tries at names that had no address.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Feeds the registry with what outlived the last run.
pub(super) async fn restore(shell: &Arc<Shell>, sessions: Vec<SavedSession>) {
    let all = sessions.iter().flat_map(|saved| &saved.targets);
    let names: HashSet<Target> = all.cloned().collect();
    let (resolved, missing) = look_up(names).await;
    for saved in sessions {
        let saved = Box::new(saved);
        shell.feed(Input::Restore { saved }, &resolved);
    }
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter().map(Target::to_string).collect();
        tracing::warn!(
            targets = names.join(", "),
            "targets of sessions that came back have no address yet; their connections wait for one"
        );
        tokio::spawn(look_up_late(Arc::downgrade(shell), missing));
    }
}

/// Looks all names up at once: those found in time, and the others.
async fn look_up(names: HashSet<Target>) -> (Resolved, HashSet<Target>) {
    let mut looking = JoinSet::new();
    for name in &names {
        let name = name.clone();
        looking.spawn(async move {
            let found = Targets::look_up("a target", std::slice::from_ref(name.as_host_port()));
            (found.await.ok(), name)
        });
    }
    let mut resolved = Resolved::new();
    let collecting = async {
        while let Some(looked) = looking.join_next().await {
            if let Ok((Some(found), name)) = looked {
                resolved.insert(name, Arc::new(found));
            }
        }
    };
    let _in_time = timeout(LOOK_UP_TIMEOUT, collecting).await;
    let missing = names
        .into_iter()
        .filter(|name| !resolved.contains_key(name));
    let missing = missing.collect();
    (resolved, missing)
}

/// Gives listeners their targets as soon as their names have addresses.
async fn look_up_late(shell: Weak<Shell>, mut missing: HashSet<Target>) {
    while !missing.is_empty() {
        sleep(RETRY_INTERVAL).await;
        let (resolved, still) = look_up(missing).await;
        missing = still;
        let Some(shell) = shell.upgrade() else {
            return;
        };
        shell.aim_late(&resolved);
    }
}
