//! Sessions, each with an open connection that is quiet at first and then sends a message a second
//! and takes it back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use scistream_daemon::user::remote::Remote;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::dial::{Dial, set_up, since};
use crate::{hold_on, say};

/// Sessions that are being set up at once.
const AT_ONCE: usize = 16;

/// Bytes of a message.
const MESSAGE: usize = 1_024;

/// From one message of a connection to its next.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the connections are quiet.
const QUIET: Duration = Duration::from_secs(3);

/// How many.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The start of all uids
    #[arg(long)]
    name: String,
    /// Sessions
    #[arg(long)]
    sessions: usize,
}

/// Opens all, is quiet, then speaks on all.
pub(crate) async fn run(dial: &Dial, args: &Args) -> Result<()> {
    let application = TcpListener::bind("127.0.0.1:0").await?;
    let target = application.local_addr()?.to_string();
    tokio::spawn(answer(application));
    let streams = open_all(&dial.open().await?, args, &target).await?;
    say(&json!({ "open": streams.len() }))?;
    tokio::time::sleep(QUIET).await;

    let count = streams.len();
    let (heard, mut hearing) = unbounded_channel();
    let mut speaking = JoinSet::new();
    for (number, stream) in (0_u32..).zip(streams) {
        // Spread over the interval, so that no moment is busier than another.
        let offset = INTERVAL / u32::try_from(count)?.max(1) * number;
        speaking.spawn(speak(stream, offset, heard.clone()));
    }
    let mut message_us = Vec::with_capacity(2 * count);
    while message_us.len() < 2 * count {
        tokio::select! {
            Some(took) = hearing.recv() => message_us.push(took),
            Some(ended) = speaking.join_next() => ended??,
        }
    }
    say(&json!({ "moving": count, "message_us": message_us }))?;
    tokio::select! {
        ended = speaking.join_next() => ended.context("there is a connection")??,
        held = hold_on() => held,
    }
}

async fn open_all(remote: &Remote, args: &Args, target: &str) -> Result<Vec<TcpStream>> {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for number in 0..args.sessions {
        let uid = format!("{}-{number}", args.name);
        let (remote, target, turns) = (remote.clone(), target.to_owned(), Arc::clone(&turns));
        opening.spawn(async move {
            let _turn = turns.acquire().await?;
            let listener = set_up(&remote, &uid, &target).await?;
            let mut stream = TcpStream::connect(&listener).await?;
            stream.set_nodelay(true)?;
            round_trip(&mut stream).await?;
            Ok::<_, anyhow::Error>(stream)
        });
    }
    let mut streams = Vec::with_capacity(args.sessions);
    while let Some(opened) = opening.join_next().await {
        streams.push(opened??);
    }
    Ok(streams)
}

async fn speak(mut stream: TcpStream, offset: Duration, heard: UnboundedSender<u64>) -> Result<()> {
    tokio::time::sleep(offset).await;
    let mut turns = tokio::time::interval(INTERVAL);
    loop {
        turns.tick().await;
        let began = Instant::now();
        round_trip(&mut stream).await?;
        // Nobody counts any more after the first rounds.
        let _counted = heard.send(since(began));
    }
}

async fn round_trip(stream: &mut TcpStream) -> Result<()> {
    let mut message = [7; MESSAGE];
    stream.write_all(&message).await?;
    stream.read_exact(&mut message).await?;
    Ok(())
}

/// Sends back whatever comes.
async fn answer(application: TcpListener) -> Result<()> {
    loop {
        let (mut stream, _peer) = application.accept().await?;
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            // It ends with the connection.
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        });
    }
}
