//! Keeps the state file true, beside everything else: one writer, woken by changes, that takes the
//! newest state and never more than a few times a second. No call waits for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::shell::Shell;
use super::state_file::{StateError, StateFile};
use crate::session::SavedSession;

/// Between two writes: what changes meanwhile is written at once with the last change.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two tries on a disk that is full, or gone.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How old what the file says about a session's last byte may be, where its idle time counts.
const ACTIVITY_INTERVAL: Duration = Duration::from_secs(10);

/// How far the file is behind the sessions.
#[derive(Debug)]
pub(super) struct Progress {
    /// Revision of the sessions.
    now: watch::Sender<u64>,
    /// Revision that the file holds; `None` while no file is kept.
    written: watch::Sender<Option<u64>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            now: watch::Sender::new(0),
            written: watch::Sender::new(None),
        }
    }

    /// The sessions have changed.
    pub(super) fn changed(&self, revision: u64) {
        self.now.send_if_modified(|now| {
            let is_new = *now != revision;
            *now = revision;
            is_new
        });
    }

    /// Tells of changes from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.now.subscribe()
    }

    /// A file is kept from now on.
    pub(super) fn begin(&self) {
        self.written.send_replace(Some(0));
    }

    /// Whether a file is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.written.borrow().is_some()
    }

    /// Completes when the file holds what the sessions are at this moment, or there is none.
    pub(super) async fn caught_up(&self) {
        let target = *self.now.borrow();
        let mut written = self.written.subscribe();
        let is_there = |written: &Option<u64>| written.is_none_or(|written| written >= target);
        let _sender_alive = written.wait_for(is_there).await;
    }

    fn wrote(&self, revision: u64) {
        self.written.send_replace(Some(revision));
    }
}

/// Writes as long as there are sessions to come.
pub(super) async fn keep(shell: Weak<Shell>, file: StateFile) {
    let file = Arc::new(file);
    let mut held: Option<Vec<SavedSession>> = None;
    let mut troubled = false;
    loop {
        let Some((mut changes, revision, saved)) = shell.upgrade().map(|shell| shell.to_keep())
        else {
            return;
        };
        let counts_idle_time = saved
            .iter()
            .any(|session| session.terms.idle_timeout.is_some());
        if held.as_ref() != Some(&saved) {
            let outcome = write(&file, saved.clone()).await;
            say_what_changed(&file, outcome.as_ref().err(), &mut troubled);
            if outcome.is_err() {
                sleep(RETRY_INTERVAL).await;
                continue;
            }
            held = Some(saved);
        }
        if let Some(shell) = shell.upgrade() {
            shell.progress.wrote(revision);
        }
        sleep(PAUSE).await;
        let changed = changes.wait_for(|now| *now != revision);
        let is_gone = if counts_idle_time {
            // Bytes that move are no change that anybody is woken for.
            timeout(ACTIVITY_INTERVAL, changed)
                .await
                .is_ok_and(|changed| changed.is_err())
        } else {
            changed.await.is_err()
        };
        if is_gone {
            return;
        }
    }
}

async fn write(file: &Arc<StateFile>, saved: Vec<SavedSession>) -> Result<(), StateError> {
    let own = Arc::clone(file);
    let written = tokio::task::spawn_blocking(move || own.write(&saved)).await;
    // The runtime is ending: what could not be started is tried again, or never.
    written.unwrap_or_else(|error| {
        Err(StateError::File {
            path: file.path().to_owned(),
            cause: std::io::Error::other(error),
        })
    })
}

/// Once for each trouble, and once for its end.
fn say_what_changed(file: &StateFile, error: Option<&StateError>, troubled: &mut bool) {
    match error {
        Some(error) if !*troubled => tracing::error!(
            %error,
            "sessions are not saved, and would be lost in a restart; trying again"
        ),
        None if *troubled => {
            tracing::info!(file = %file.path().display(), "sessions are saved again");
        }
        Some(_) | None => {}
    }
    *troubled = error.is_some();
}
