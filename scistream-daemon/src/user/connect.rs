//! `s2uc connect`: a session on both gateways in one command, or on neither.
//!
//! ```text
//!   open both ──► make both, at once ──► consumer's listeners ──► producer's ──► printed
//!        │                │                        │
//!        └────────────────┴── any failure, Ctrl-C ─┴──► release both, then say why
//! ```
//!
//! Each create carries a key, so that it can be sent twice: once more within the time when a gateway
//! cannot be reached, and by another run of the command when the user names the key.

mod side;

use std::pin::pin;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::timeout;

use super::access::Access;
use super::cli::{ConnectArgs, SideArgs, TargetList};
use super::control_calls::Role;
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::output::Output;
use super::uid;
use side::{Key, Made, Order, Side};

/// How long a side may still take to answer once the other has failed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// Runs `s2uc connect`.
///
/// # Errors
/// What either gateway answered; nothing is left on the other, or the sentence says what is.
pub async fn connect(args: &ConnectArgs, output: &Output) -> Result<(), Failure> {
    let started = Instant::now();
    let deadline = Deadline::after(args.timeout);
    let targets: Vec<String> = args
        .target
        .iter()
        .flat_map(TargetList::to_strings)
        .collect();
    let order = order(args, &targets)?;
    let (for_producer, for_consumer) = accesses(&args.access, &args.sides);
    let (producer, consumer) = tokio::try_join!(
        for_producer.open(&args.producer, deadline, output),
        for_consumer.open(&args.consumer, deadline, output)
    )?;
    let producer = Side::new(producer, Role::Producer, args.wan_source.clone());
    let consumer = Side::new(consumer, Role::Consumer, args.source.clone());

    let outcome = tokio::select! {
        outcome = make_both(&producer, &consumer, &order, &targets, deadline) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "stopped by Ctrl-C")),
    };
    match outcome {
        Ok(made) => {
            print(&made, &order, started, output);
            let end = format!(
                "end it with: s2uc release {} --producer {} --consumer {}{}",
                order.uid,
                args.producer,
                args.consumer,
                args.access.as_options()
            );
            output.line(&end);
            Ok(())
        }
        Err(failure) => {
            let (one, other) = tokio::join!(producer.undo(&order), consumer.undo(&order));
            let left = one.into_iter().chain(other);
            Err(left.fold(failure, |failure, left| failure.and(&left)))
        }
    }
}

/// A session on both gateways.
struct Both<'a> {
    producer: (&'a Side, Made),
    consumer: (&'a Side, Made),
}

async fn make_both<'a>(
    producer: &'a Side,
    consumer: &'a Side,
    order: &Order,
    targets: &[String],
    deadline: Deadline,
) -> Result<Both<'a>, Failure> {
    let (listens, connects) = both_answers(
        producer.make(order, targets, deadline),
        consumer.make(order, &[], deadline),
    )
    .await?;
    let connects = consumer
        .aim(order, connects, &listens.listeners, deadline)
        .await?;
    Ok(Both {
        producer: (producer, listens),
        consumer: (consumer, connects),
    })
}

/// Waits for both. Once one has failed, the other has a moment to say what is there: a session that
/// was there before must not be taken for ours.
async fn both_answers<T, U>(
    one: impl Future<Output = Result<T, Failure>>,
    other: impl Future<Output = Result<U, Failure>>,
) -> Result<(T, U), Failure> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    tokio::select! {
        first = &mut one => match first {
            Ok(first) => Ok((first, other.await?)),
            Err(failure) => {
                let _answered_or_late = timeout(ANSWER_GRACE, other).await;
                Err(failure)
            }
        },
        second = &mut other => match second {
            Ok(second) => Ok((one.await?, second)),
            Err(failure) => {
                let _answered_or_late = timeout(ANSWER_GRACE, one).await;
                Err(failure)
            }
        },
    }
}

fn order(args: &ConnectArgs, targets: &[String]) -> Result<Order, Failure> {
    let listeners = args.num_conn.map_or(targets.len(), usize::from);
    let listeners = u16::try_from(listeners).map_err(|_many| {
        let most = u16::MAX;
        Failure::new(
            Exit::Usage,
            format!("too many targets: a session has at most {most} listeners"),
        )
    })?;
    Ok(Order {
        uid: uid_of(args)?,
        key: match &args.idempotency_key {
            Some(key) => Key::Given(key.clone()),
            None => Key::Own(uid::fresh()?),
        },
        listeners,
        rate: args.rate.unwrap_or(0),
        max_rate: args.max_rate.unwrap_or(0),
        label: args.label.clone(),
        lifetime: args.lifetime,
        idle_timeout: args.idle_timeout,
    })
}

/// The session's name: the one asked for, or that of the key, so that the next run knows it, or a
/// fresh one.
fn uid_of(args: &ConnectArgs) -> Result<String, Failure> {
    let ConnectArgs {
        producer,
        consumer,
        uid,
        idempotency_key,
        ..
    } = args;
    match (uid, idempotency_key) {
        (Some(uid), _) => Ok(uid.clone()),
        (None, Some(key)) => {
            let gateways = [producer, consumer].map(ToString::to_string);
            Ok(uid::of(&["s2uc connect", key, &gateways[0], &gateways[1]]))
        }
        (None, None) => uid::fresh(),
    }
}

/// The access to each gateway: what is said for that side, else what is said for both.
fn accesses(both: &Access, sides: &SideArgs) -> (Access, Access) {
    let SideArgs {
        producer_ca,
        producer_token_file,
        producer_scope,
        consumer_ca,
        consumer_token_file,
        consumer_scope,
    } = sides.clone();
    let producer = Access {
        ca: producer_ca.or_else(|| both.ca.clone()),
        token_file: producer_token_file.or_else(|| both.token_file.clone()),
        scope: producer_scope.or_else(|| both.scope.clone()),
        ..both.clone()
    };
    let consumer = Access {
        ca: consumer_ca.or_else(|| both.ca.clone()),
        token_file: consumer_token_file.or_else(|| both.token_file.clone()),
        scope: consumer_scope.or_else(|| both.scope.clone()),
        ..both.clone()
    };
    (producer, consumer)
}

fn print(both: &Both<'_>, order: &Order, started: Instant, output: &Output) {
    let uid = &order.uid;
    let took = started.elapsed();
    let side = |(side, made): &(&Side, Made)| {
        json!({
            "s2cs": side.remote().host().to_string(),
            "listeners": made.listeners,
            "targets": made.targets,
            "service": side.service(),
            "existed": made.existed,
        })
    };
    output.json(&json!({
        "uid": uid,
        "listeners": both.consumer.1.listeners,
        "producer": side(&both.producer),
        "consumer": side(&both.consumer),
        "elapsed_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }));
    output.line(&format!("session {uid} is up ({took:.0?})"));
    for listener in &both.consumer.1.listeners {
        output.line(&format!("connect to {listener}"));
    }
    for (name, (side, made)) in [("consumer", &both.consumer), ("producer", &both.producer)] {
        output.line(&format!(
            "  {name}'s gateway {}: {} -> {}",
            side.remote().host(),
            made.listeners.join(", "),
            made.targets.join(", ")
        ));
    }
}
