//! Ending sessions: because the user says so, or because their set-up failed.

use std::time::Duration;

use serde_json::json;

use super::access::One;
use super::cli::ReleaseArgs;
use super::control_calls;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::gateway_calls;
use super::output::Output;
use super::remote::Remote;
use crate::cli::HostPort;

/// How long the release of what failed may take, beyond the command's own time.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// `s2uc release`.
///
/// # Errors
/// What the gateway answered. Of two gateways both are tried.
pub async fn release(args: &ReleaseArgs, output: &Output) -> Result<(), Failure> {
    let ReleaseArgs {
        uid,
        producer,
        consumer,
        drain,
        one,
    } = args;
    let named: Vec<&HostPort> = producer.iter().chain(consumer).collect();
    let one_at = |host: &HostPort| One {
        s2cs: host.clone(),
        ..one.clone()
    };
    match named.as_slice() {
        [] => on(one, uid, *drain, output).await?,
        [only] => on(&one_at(only), uid, *drain, output).await?,
        [first, second, ..] => {
            let (first, second) = (one_at(first), one_at(second));
            let (first, second) = tokio::join!(
                on(&first, uid, *drain, output),
                on(&second, uid, *drain, output)
            );
            match (first, second) {
                (Err(first), Err(second)) => return Err(first.and(&second.to_string())),
                (first, second) => first.and(second)?,
            }
        }
    }
    output.line("Release completed");
    output.json(&json!({ "uid": uid, "released": true }));
    Ok(())
}

async fn on(one: &One, uid: &str, drain: Option<Duration>, output: &Output) -> Result<(), Failure> {
    let (remote, deadline) = one.open(output).await?;
    let Some(drain) = drain else {
        // Every gateway understands this one.
        return control_calls::release(&remote, uid, deadline).await;
    };
    let drained = gateway_calls::release(&remote, uid, Some(drain), deadline).await;
    drained.map_err(|failure| match failure.exit() {
        Exit::Unsupported => failure.and("without --drain it can release"),
        Exit::BadRequest
        | Exit::Denied
        | Exit::Exists
        | Exit::Failed
        | Exit::Interrupted
        | Exit::NoResources
        | Exit::NotFound
        | Exit::TimedOut
        | Exit::Unauthenticated
        | Exit::Unreachable
        | Exit::Usage => failure,
    })
}

/// Releases what a failed set-up may have left, and says so if that fails too.
pub(super) async fn after(failure: Failure, remote: &Remote, uid: &str) -> Failure {
    if !leaves_something(failure.exit()) {
        return failure;
    }
    match or_explain(remote, uid).await {
        Ok(()) => failure,
        Err(left) => failure.and(&left),
    }
}

/// Releases a session that may not be there; the error says what is left, and how to end it.
pub(super) async fn or_explain(remote: &Remote, uid: &str) -> Result<(), String> {
    let deadline = Deadline::after(CLEAN_UP_TIMEOUT);
    match control_calls::release(remote, uid, deadline).await {
        Ok(()) => Ok(()),
        // It was never made, or has ended by itself.
        Err(other) if other.exit() == Exit::NotFound => Ok(()),
        Err(other) => {
            let host = remote.host();
            Err(format!(
                "and what was made could not be released ({other}): run `s2uc release {uid} --s2cs {host}`"
            ))
        }
    }
}

/// Whether a session of ours may be there after such a failure. One that existed before is not
/// ours to release, and who may not make sessions has made none.
pub(super) fn leaves_something(exit: Exit) -> bool {
    match exit {
        Exit::Denied | Exit::Exists | Exit::Unauthenticated | Exit::Unsupported | Exit::Usage => {
            false
        }
        Exit::BadRequest
        | Exit::Failed
        | Exit::Interrupted
        | Exit::NoResources
        | Exit::NotFound
        | Exit::TimedOut
        | Exit::Unreachable => true,
    }
}
