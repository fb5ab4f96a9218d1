//! The contract of the data planes, as cases that any plane can be held to: bytes arrive equal and
//! in order, each direction half-closes on its own, a reset of one side resets the other, a reader
//! that stops bounds what the gateway holds, and the counts in the log are the bytes moved.
//!
//! ```text
//!   Mount (plane, ground) ──► Rig: downstream end ═══ s2cs forward ═══ upstream end
//!                              │        ▲                  │               │
//!   case(&Mount) ──────────────┘        └─ Pattern         └─ Log, Closed  └─ Pattern
//! ```
//!
//! A case is a function over a [`Mount`]. It runs against the real `s2cs forward` and checks both
//! ends' bytes *and* the gateway's own closing line. A mount lies on one of two grounds:
//!
//! | ground   | hosts                                   | needs | mounted by                         |
//! |----------|-----------------------------------------|-------|------------------------------------|
//! | loopback | this host                               | —     | `scistream-daemon/tests/`: copy, splice |
//! | routed   | producer - gateway - consumer over veth | root  | `bpf-tests/tests/`: all planes     |
//!
//! Four lists, each a macro that makes one `#[test]` per case: [`crate::contract_anywhere!`] needs
//! no privilege; [`crate::contract_routed!`] wants links of its own or root;
//! [`crate::contract_sockmap!`] only that plane can keep; [`crate::contract_big!`] takes long (2 GiB,
//! a zero window for 30 s, a stopped reader for 10 s).
//!
//! The big list is mounted by one binary, `contract_big`, whose target has `test = false`: plain
//! `cargo test` does not run it and therefore does not count it as passed. It runs when it is named:
//! `cargo test -p bpf-tests --test contract_big -- --test-threads 12`, which takes about as long as
//! its longest case, since most of it sleeps.
//!
//! Nothing hangs: every read and write has a deadline, every case has an overall one, and the
//! message says what was waited for. Everything random comes from one printed seed;
//! `SCISTREAM_SEED=0x…` replays it. That the checks can fail is shown by `contract_can_fail`, which
//! holds a stand-in with known [`Fault`]s to the same cases.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::patience::stretched;

mod closed;
mod connection;
mod crowd;
mod faulty;
mod footprint;
mod list;
mod log;
mod mount;
mod naive;
mod relay;
mod rig;
mod setup;
mod target;

pub mod big;
pub mod early;
pub mod half_close;
pub mod hand_over;
pub mod lengths;
pub mod links;
pub mod many;
pub mod memory;
pub mod messages;
pub mod reset;
pub mod stalls;
pub mod stopping;

pub use closed::Closed;
pub use connection::{Connection, Side};
pub use crowd::Crowd;
pub use faulty::Fault;
pub use footprint::Footprint;
pub use log::Log;
pub use mount::{Ground, Mount};
pub use relay::Relay;
pub use rig::Rig;
pub use setup::{Setup, Target};

/// What a case's test returns.
pub type Outcome = Result<()>;

/// A case: what is promised, as a function that fails when it is not kept.
pub type Case = fn(&Mount) -> Result<()>;

/// How long a case that was freed by killing its gateway may take to end.
const RESCUE_GRACE: Duration = Duration::from_secs(25);

/// Runs one case on one mount, within the mount's deadline.
///
/// # Errors
/// What the case found, or what it was waiting for at the deadline; both with the seed.
pub fn check(mount: Mount, case: Case) -> Result<()> {
    let replay = mount.seed().replay();
    println!("{replay}");
    let (watch, deadline) = (mount.watch().clone(), mount.deadline());
    let (done, outcome) = mpsc::channel();
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(|| case(&mount)));
        let result = result.unwrap_or_else(|_| Err(anyhow!("the case panicked; see above")));
        // The receiver is gone only after it gave up on this case.
        drop(done.send(result));
    };
    thread::Builder::new().name("case".to_owned()).spawn(run)?;
    let result = match outcome.recv_timeout(deadline) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => Err(anyhow!("the case's thread died")),
        Err(RecvTimeoutError::Timeout) => {
            let waits = watch.report();
            watch.rescue();
            // Waited for so that the case's own clean-up has run; its words come second.
            let words = match outcome.recv_timeout(stretched(RESCUE_GRACE)) {
                Ok(Err(error)) => format!("{error:#}"),
                Ok(Ok(())) => "it then ended well".to_owned(),
                Err(_) => "it is still stuck".to_owned(),
            };
            Err(anyhow!(
                "not done after {deadline:?}; waiting for:{waits}\nafter its gateway was killed: {words}"
            ))
        }
    };
    result.with_context(|| format!("replay with {replay}"))
}
