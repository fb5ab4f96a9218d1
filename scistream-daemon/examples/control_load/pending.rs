//! Thousands of `req`s that wait, and hellos to some of them, each when it is due.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use scistream_daemon::user::remote::Remote;
use scistream_daemon::user::{control_calls, gateway_calls};
use scistream_daemon::wire::gateway::State;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::dial::{Dial, deadline, hello, since, wanted};
use crate::{hold_on, say};

/// Between two looks at whether all wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long nothing happens once all wait.
const LULL: Duration = Duration::from_secs(1);

const TARGET: &str = "127.0.0.1:9";

/// How many, and how fast.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The start of all uids
    #[arg(long)]
    name: String,
    /// `req`s
    #[arg(long)]
    sessions: usize,
    /// HTTP/2 connections that carry them
    #[arg(long)]
    connections: usize,
    /// Hellos, on a connection of their own
    #[arg(long)]
    hellos: usize,
    /// Hellos in a second
    #[arg(long)]
    per_second: u32,
    /// Decides which sessions are greeted
    #[arg(long)]
    seed: u64,
}

/// A `req` that was answered.
struct Answered {
    number: usize,
    at: Instant,
}

/// Waits with many, greets some.
pub(crate) async fn run(dial: &Dial, args: &Args) -> Result<()> {
    ensure!(args.hellos <= args.sessions, "more hellos than sessions");
    let greeter = dial.open().await?;
    let began = Instant::now();
    let mut waiting = ask(dial, args).await?;
    tokio::select! {
        all = until_all_wait(&greeter, args.sessions) => all?,
        Some(answered) = waiting.join_next() => {
            let Answered { number, at: _ } = answered??;
            bail!("req {number} was answered without a hello");
        }
    }
    let connections = args.connections + 1;
    say(
        &json!({ "pending": args.sessions, "connections": connections, "elapsed_us": since(began) }),
    )?;
    tokio::time::sleep(LULL).await;

    let (hello_us, due) = greet(&greeter, args).await?;
    let mut req_us = Vec::with_capacity(args.hellos);
    while req_us.len() < args.hellos {
        let answered = waiting.join_next().await.context("every req is answered")?;
        let Answered { number, at } = answered??;
        let due = due
            .get(&number)
            .context("a req that nobody greeted was answered")?;
        let took = at.saturating_duration_since(*due).as_micros();
        req_us.push(u64::try_from(took).unwrap_or(u64::MAX));
    }
    say(&json!({ "hello_us": hello_us, "req_us": req_us, "still_pending": waiting.len() }))?;
    hold_on().await
}

/// Sends all `req`s.
async fn ask(dial: &Dial, args: &Args) -> Result<JoinSet<Result<Answered>>> {
    let mut remotes = Vec::new();
    for _ in 0..args.connections {
        remotes.push(dial.open().await?);
    }
    let mut waiting = JoinSet::new();
    for (number, remote) in (0..args.sessions).zip(remotes.iter().cycle()) {
        let (remote, uid) = (remote.clone(), uid(args, number));
        waiting.spawn(async move {
            control_calls::req(&remote, &wanted(&uid), deadline()).await?;
            let at = Instant::now();
            Ok(Answered { number, at })
        });
    }
    Ok(waiting)
}

async fn until_all_wait(remote: &Remote, sessions: usize) -> Result<()> {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let listed = gateway_calls::list(remote, deadline()).await?;
        let waits = |state| state == State::AwaitingHello;
        let waiting = listed.iter().filter(|session| waits(session.state()));
        if waiting.count() == sessions {
            return Ok(());
        }
    }
}

/// Says hello to sessions in an order that the seed decides, whether or not earlier hellos are
/// answered; gives how long each took from when it was due, and when that was.
async fn greet(remote: &Remote, args: &Args) -> Result<(Vec<u64>, HashMap<usize, Instant>)> {
    let order = shuffled(args.sessions, args.seed);
    let start = Instant::now();
    let interval = Duration::from_secs(1) / args.per_second.max(1);
    let mut greeting: JoinSet<Result<u64>> = JoinSet::new();
    let mut due = HashMap::new();
    for (turn, number) in (0_u32..).zip(order.into_iter().take(args.hellos)) {
        let at = start + interval * turn;
        sleep_until(at.into()).await;
        due.insert(number, at);
        let (remote, hello) = (remote.clone(), hello(&uid(args, number), TARGET));
        greeting.spawn(async move {
            control_calls::hello(&remote, hello, deadline()).await?;
            Ok(since(at))
        });
    }
    let mut took = Vec::with_capacity(args.hellos);
    while let Some(greeted) = greeting.join_next().await {
        took.push(greeted??);
    }
    Ok((took, due))
}

fn uid(args: &Args, number: usize) -> String {
    format!("{}-{number}", args.name)
}

/// All numbers below `end`, in an order that `seed` decides (Fisher and Yates' shuffle).
fn shuffled(end: usize, mut seed: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..end).collect();
    for last in (1..end).rev() {
        // The multiplier and the increment of Knuth's MMIX; the high bits are the good ones.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = (u128::from(seed) * (last as u128 + 1)) >> 64;
        numbers.swap(last, usize::try_from(other).unwrap_or(last));
    }
    numbers
}
