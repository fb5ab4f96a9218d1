//! Whole lives of sessions, one after the other, by one caller or several.

use std::time::Instant;

use anyhow::Result;
use scistream_daemon::user::control_calls;
use scistream_daemon::user::remote::Remote;
use serde_json::json;
use tokio::task::JoinSet;

use crate::dial::{Dial, deadline, hello, since, wanted};
use crate::say;

/// Lives of each caller before those that count.
const WARM_UP: usize = 20;

/// Nothing connects, so nothing is dialled there.
const TARGET: &str = "127.0.0.1:9";

/// How many, by how many.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The start of all uids that count
    #[arg(long)]
    name: String,
    /// Lives, of all callers together
    #[arg(long)]
    count: usize,
    /// Callers, each with a connection of its own
    #[arg(long)]
    callers: usize,
}

/// What a caller sees of one life.
struct Cycle {
    /// From sending `req`, with `hello` right behind it, to both answers.
    ready: u64,
    update: u64,
    release: u64,
    all: u64,
}

/// Lives, and what the callers saw of each.
pub(crate) async fn run(dial: &Dial, args: &Args) -> Result<()> {
    let mut remotes = Vec::new();
    for _ in 0..args.callers {
        remotes.push(dial.open().await?);
    }
    let mut warming = JoinSet::new();
    for (caller, remote) in remotes.iter().cloned().enumerate() {
        let name = format!("warm-{}-{caller}", args.name);
        warming.spawn(async move { many(&remote, &name, WARM_UP).await });
    }
    while let Some(warm) = warming.join_next().await {
        warm??;
    }

    let mut callers = JoinSet::new();
    for (caller, remote) in remotes.into_iter().enumerate() {
        let share = args.count / args.callers + usize::from(caller < args.count % args.callers);
        let name = format!("{}-{caller}", args.name);
        callers.spawn(async move { many(&remote, &name, share).await });
    }
    let began = Instant::now();
    let mut cycles = Vec::with_capacity(args.count);
    while let Some(caller) = callers.join_next().await {
        cycles.extend(caller??);
    }
    let of = |pick: fn(&Cycle) -> u64| cycles.iter().map(pick).collect::<Vec<_>>();
    say(&json!({
        "cycle_us": of(|cycle| cycle.all),
        "ready_us": of(|cycle| cycle.ready),
        "update_us": of(|cycle| cycle.update),
        "release_us": of(|cycle| cycle.release),
        "elapsed_us": since(began),
    }))
}

async fn many(remote: &Remote, name: &str, count: usize) -> Result<Vec<Cycle>> {
    let mut cycles = Vec::with_capacity(count);
    for number in 0..count {
        cycles.push(cycle(remote, &format!("{name}-{number}")).await?);
    }
    Ok(cycles)
}

async fn cycle(remote: &Remote, uid: &str) -> Result<Cycle> {
    let (wanted, hello) = (wanted(uid), hello(uid, TARGET));
    let began = Instant::now();
    control_calls::req_and_hello(remote, &wanted, hello, deadline()).await?;
    let ready = since(began);
    control_calls::update(remote, &wanted, vec![TARGET.to_owned()], deadline()).await?;
    let updated = since(began);
    control_calls::release(remote, uid, deadline()).await?;
    let all = since(began);
    Ok(Cycle {
        ready,
        update: updated - ready,
        release: all - updated,
        all,
    })
}
