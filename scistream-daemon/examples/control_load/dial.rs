//! Connections to the gateway, and the calls of a session's life.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use scistream_daemon::cli::HostPort;
use scistream_daemon::user::control_calls::{self, Role, Wanted};
use scistream_daemon::user::deadline::Deadline;
use scistream_daemon::user::remote::Remote;
use scistream_daemon::user::token::Token;
use scistream_daemon::user::transport::Security;
use scistream_daemon::user::trust::{self, Roots};
use scistream_daemon::wire::scistream::Hello;

/// How long one call may take. Some wait for others by intent.
const PATIENCE: Duration = Duration::from_secs(150);

/// What every old script sends as `rate`, kB/s.
const RATE: i32 = 10_000;

/// How to reach the gateway.
#[derive(clap::Args)]
pub(crate) struct Dial {
    /// Its control port
    #[arg(long)]
    gateway: HostPort,
    /// The certificate to believe
    #[arg(long)]
    ca: PathBuf,
    /// The file of the token
    #[arg(long)]
    token_file: PathBuf,
}

impl Dial {
    /// A connection of its own.
    pub(crate) async fn open(&self) -> Result<Remote> {
        let settings = trust::settings(Roots::File(&self.ca), None, b"h2")?;
        let text = std::fs::read_to_string(&self.token_file)
            .with_context(|| format!("cannot read {}", self.token_file.display()))?;
        let token = Token::new(&text).context("the file holds no token")?;
        let security = Security::Tls(Arc::new(settings));
        Ok(Remote::open(&self.gateway, &security, token, deadline()).await?)
    }
}

/// A deadline that only what hangs will meet.
pub(crate) fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}

/// A session of one listener, beside a producer.
pub(crate) fn wanted(uid: &str) -> Wanted {
    Wanted {
        uid: uid.to_owned(),
        role: Role::Producer,
        listeners: 1,
        rate: RATE,
    }
}

/// The hello of an application at `target`.
pub(crate) fn hello(uid: &str, target: &str) -> Hello {
    Hello {
        uid: uid.to_owned(),
        prod_listeners: vec![target.to_owned()],
        role: Role::Producer.on_wire().to_owned(),
    }
}

/// Makes a session that sends to `target`, as an old script and its application do; answers with its
/// listener.
pub(crate) async fn set_up(remote: &Remote, uid: &str, target: &str) -> Result<String> {
    let wanted = wanted(uid);
    let hello = hello(uid, target);
    let (made, _hello) = control_calls::req_and_hello(remote, &wanted, hello, deadline()).await?;
    control_calls::update(remote, &wanted, vec![target.to_owned()], deadline()).await?;
    made.listeners
        .first()
        .cloned()
        .context("a session has a listener")
}

/// Microseconds from `start` to now.
pub(crate) fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
