//! The caller of `cargo xtask bench control` and `caps`: calls a gateway's control port as users do and
//! says what it saw, one JSON object a line, times in microseconds.
//!
//! ```text
//!   cycles    req, hello, update, release, again and again   how long each took
//!   pending   thousands of `req`s that wait, hellos in time  how long the hellos took
//!   active    sessions, each with a connection that speaks   how long its messages took
//!   hold      sessions with caps and reservations            where they listen
//! ```
//!
//! `pending` and `active` hold on to what they have until they are ended: it is looked at meanwhile.
//! One thread does it all, so that the caller takes little of what it measures.

mod active;
mod cycles;
mod dial;
mod hold;
mod pending;

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::Value;

use dial::Dial;

/// Calls a gateway.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    dial: Dial,
    #[command(subcommand)]
    part: Part,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Sessions that speak
    Active(active::Args),
    /// Whole lives of sessions
    Cycles(cycles::Args),
    /// Sessions to be used by others
    Hold(hold::Args),
    /// Sessions that wait
    Pending(pending::Args),
}

fn main() -> Result<()> {
    let Args { dial, part } = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match part {
            Part::Active(args) => active::run(&dial, &args).await,
            Part::Cycles(args) => cycles::run(&dial, &args).await,
            Part::Hold(args) => hold::run(&dial, &args).await,
            Part::Pending(args) => pending::run(&dial, &args).await,
        }
    })
}

/// Says something to whoever started us.
fn say(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}").context("nobody listens any more")?;
    out.flush().context("nobody listens any more")
}

/// Holds on to everything until this process is ended.
async fn hold_on() -> Result<()> {
    std::future::pending().await
}
