//! Sessions with caps and reservations, by the gateway's own service, left to whoever uses them.

use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};
use scistream_daemon::user::gateway_calls;
use scistream_daemon::wire::gateway::{CreateSessionRequest, Role};
use serde_json::json;

use crate::dial::{Dial, deadline};
use crate::say;

/// Which.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A session: `TARGET[,max=BITS][,reserved=BITS]`, bits per second; repeatable
    #[arg(long = "session", required = true)]
    sessions: Vec<Wish>,
}

/// One of them.
#[derive(Clone)]
struct Wish {
    target: String,
    max_rate_bps: u64,
    reserved_rate_bps: u64,
}

impl FromStr for Wish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let mut wish = Self {
            target: parts.next().context("a session needs a target")?.to_owned(),
            max_rate_bps: 0,
            reserved_rate_bps: 0,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("max", bits)) => wish.max_rate_bps = bits.parse()?,
                Some(("reserved", bits)) => wish.reserved_rate_bps = bits.parse()?,
                Some(_) | None => bail!("`{part}` is neither max=BITS nor reserved=BITS"),
            }
        }
        Ok(wish)
    }
}

/// Makes them and says where they listen, in order.
pub(crate) async fn run(dial: &Dial, args: &Args) -> Result<()> {
    let remote = dial.open().await?;
    let (mut uids, mut listeners) = (Vec::new(), Vec::new());
    for wish in &args.sessions {
        let Wish {
            target,
            max_rate_bps,
            reserved_rate_bps,
        } = wish.clone();
        let request = CreateSessionRequest {
            role: Role::Producer.into(),
            listeners: 1,
            reserved_rate_bps,
            max_rate_bps,
            targets: vec![target],
            ..CreateSessionRequest::default()
        };
        let (session, _) = gateway_calls::create(&remote, request, deadline()).await?;
        uids.push(session.uid);
        listeners.extend(session.listeners);
    }
    say(&json!({ "uids": uids, "listeners": listeners }))
}
