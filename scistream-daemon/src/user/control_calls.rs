//! SciStream's own protocol, which every gateway speaks: `req` waits for `hello`, then `update`
//! starts the session.

use std::time::Duration;

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::remote::Remote;
use crate::wire::scistream::{AppResponse, Hello, Release, Request, Response, UpdateTargets};

/// Which side of the stream a gateway stands on, in the protocol's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Beside the application that connects.
    Consumer,
    /// Beside the application that listens.
    Producer,
}

impl Role {
    /// The word on the wire.
    pub fn on_wire(self) -> &'static str {
        match self {
            Self::Consumer => "CONS",
            Self::Producer => "PROD",
        }
    }
}

/// What a session is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub uid: String,
    /// Which side the gateway is on.
    pub role: Role,
    /// How many listeners.
    pub listeners: i32,
    /// What it reserves, in kB/s.
    pub rate: i32,
}

/// How long a hello may be told that there is no such session: `req` was sent before it, but a
/// gateway answers in what order it likes.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);

/// The pause after the first hello that came too early, doubled each time up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LONGEST: Duration = Duration::from_millis(200);

/// Makes a session and waits for its hello, whoever says it.
///
/// # Errors
/// What the gateway answered, or that nobody said hello in time.
pub async fn req(
    remote: &Remote,
    wanted: &Wanted,
    deadline: Deadline,
) -> Result<Response, Failure> {
    let request = remote.request(Request {
        uid: wanted.uid.clone(),
        role: wanted.role.on_wire().to_owned(),
        num_conn: wanted.listeners,
        rate: wanted.rate,
    });
    let mut control = remote.control();
    remote.call("req", deadline, control.req(request)).await
}

/// Makes a session and says hello to it ourselves.
///
/// # Errors
/// What the gateway answered to either; nothing is left waiting.
pub async fn req_and_hello(
    remote: &Remote,
    wanted: &Wanted,
    hello: Hello,
    deadline: Deadline,
) -> Result<(Response, AppResponse), Failure> {
    // The first error ends both: a `req` whose hello failed would wait for three minutes.
    tokio::try_join!(
        req(remote, wanted, deadline),
        hello_when_known(remote, hello, deadline)
    )
}

/// Says hello once.
///
/// # Errors
/// What the gateway answered.
pub async fn hello(
    remote: &Remote,
    hello: Hello,
    deadline: Deadline,
) -> Result<AppResponse, Failure> {
    let mut control = remote.control();
    let request = remote.request(hello);
    remote.call("hello", deadline, control.hello(request)).await
}

async fn hello_when_known(
    remote: &Remote,
    message: Hello,
    deadline: Deadline,
) -> Result<AppResponse, Failure> {
    let patience = deadline.at_most(HELLO_PATIENCE);
    let mut pause = RETRY_FIRST;
    loop {
        match hello(remote, message.clone(), deadline).await {
            Err(failure) if failure.exit() == Exit::NotFound && patience.left() > pause => {
                tokio::time::sleep(pause).await;
                pause = RETRY_LONGEST.min(pause * 2);
            }
            answer => return answer,
        }
    }
}

/// Says where a session's listeners send to.
///
/// # Errors
/// What the gateway answered.
pub async fn update(
    remote: &Remote,
    wanted: &Wanted,
    targets: Vec<String>,
    deadline: Deadline,
) -> Result<Response, Failure> {
    let request = remote.request(UpdateTargets {
        uid: wanted.uid.clone(),
        remote_listeners: targets,
        role: wanted.role.on_wire().to_owned(),
    });
    let mut control = remote.control();
    remote
        .call("update", deadline, control.update(request))
        .await
}

/// Ends a session.
///
/// # Errors
/// What the gateway answered.
pub async fn release(remote: &Remote, uid: &str, deadline: Deadline) -> Result<(), Failure> {
    let request = remote.request(Release {
        uid: uid.to_owned(),
    });
    let mut control = remote.control();
    let released = remote.call("release", deadline, control.release(request));
    released.await.map(|_response| ())
}
