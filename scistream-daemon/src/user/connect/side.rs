//! One of the two gateways of a session: made by whichever service it offers, and undone.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::sleep;

use crate::cli::HostPort;
use crate::user::control_calls::{self, Role, Wanted};
use crate::user::deadline::Deadline;
use crate::user::failure::{Exit, Failure};
use crate::user::remote::Remote;
use crate::user::{gateway_calls, release};
use crate::wire::gateway::{self, CreateSessionRequest, Session};
use crate::wire::scistream::Hello;

/// Bits per second in one kB/s.
const KILOBYTE: u64 = 8_000;

/// Before the second try at a gateway that could not be reached: one that restarts is soon back.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What both sides are asked for.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) uid: String,
    pub(super) key: Key,
    pub(super) listeners: u16,
    /// Bits per second; 0 for none.
    pub(super) rate: u64,
    /// Bits per second; 0 for no limit.
    pub(super) max_rate: u64,
    pub(super) label: String,
    pub(super) lifetime: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
}

/// The key by which a gateway knows a create again.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// The user's, who may have used it before.
    Given(String),
    /// This run's own.
    Own(String),
}

impl Key {
    fn as_str(&self) -> &str {
        match self {
            Self::Given(key) | Self::Own(key) => key,
        }
    }
}

/// What a side has made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) listeners: Vec<String>,
    pub(super) targets: Vec<String>,
    /// Whether it was there already, made by the same create.
    pub(super) existed: bool,
}

/// What is known of the session on this side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Nothing was asked for, or it was refused: there is nothing of ours.
    Absent,
    /// It was asked for: there may be a session.
    Asked,
    /// An earlier run made it: it is not ours to undo.
    Before,
    /// We made it.
    Made,
}

/// Which service the gateway offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Service {
    /// SciStream's own.
    Control,
    /// Ours beside it.
    Gateway,
}

/// One of the two gateways.
pub(super) struct Side {
    remote: RefCell<Remote>,
    role: Role,
    sources: Vec<String>,
    phase: Cell<Phase>,
    service: Cell<Service>,
}

impl Side {
    pub(super) fn new(remote: Remote, role: Role, sources: Vec<String>) -> Self {
        Self {
            remote: RefCell::new(remote),
            role,
            sources,
            phase: Cell::new(Phase::Absent),
            service: Cell::new(Service::Gateway),
        }
    }

    pub(super) fn remote(&self) -> Remote {
        self.remote.borrow().clone()
    }

    /// The service by which the session was made.
    pub(super) fn service(&self) -> &'static str {
        match self.service.get() {
            Service::Control => "scistream.Control",
            Service::Gateway => "scistream.v1.Gateway",
        }
    }

    /// Makes the session, with its targets where they are known.
    pub(super) async fn make(
        &self,
        order: &Order,
        targets: &[String],
        deadline: Deadline,
    ) -> Result<Made, Failure> {
        self.phase.set(Phase::Asked);
        let mut made = self.make_by_gateway(order, targets, deadline).await;
        if let Err(failure) = &made
            && failure.exit() == Exit::Unreachable
        {
            let failure = failure.clone();
            made = self.make_again(order, targets, deadline, failure).await;
        }
        if made
            .as_ref()
            .is_err_and(|it| it.exit() == Exit::Unsupported)
        {
            self.service.set(Service::Control);
            made = self.make_by_control(order, targets, deadline).await;
        }
        if made
            .as_ref()
            .is_err_and(|it| !release::leaves_something(it.exit()))
        {
            self.phase.set(Phase::Absent);
        }
        if let Ok(made) = &made {
            self.phase.set(match &order.key {
                Key::Given(_) if made.existed => Phase::Before,
                // Who else would have this run's own key.
                Key::Given(_) | Key::Own(_) => Phase::Made,
            });
        }
        made
    }

    /// The second try at a gateway that could not be reached. The key makes one session of both.
    async fn make_again(
        &self,
        order: &Order,
        targets: &[String],
        deadline: Deadline,
        failure: Failure,
    ) -> Result<Made, Failure> {
        sleep(RETRY_PAUSE.min(deadline.left())).await;
        let remote = self.remote();
        match remote.reopen(deadline).await {
            Ok(remote) => drop(self.remote.replace(remote)),
            Err(again) => return Err(failure.and(&format!("a second try failed too: {again}"))),
        }
        self.make_by_gateway(order, targets, deadline).await
    }

    /// Says where the listeners of what was made send to.
    pub(super) async fn aim(
        &self,
        order: &Order,
        made: Made,
        targets: &[String],
        deadline: Deadline,
    ) -> Result<Made, Failure> {
        match self.service.get() {
            Service::Control => {
                let wanted = self.wanted(order);
                control_calls::update(&self.remote(), &wanted, targets.to_vec(), deadline).await?;
            }
            Service::Gateway => {
                gateway_calls::update(&self.remote(), &order.uid, targets.to_vec(), deadline)
                    .await?;
            }
        }
        Ok(Made {
            targets: targets.to_vec(),
            ..made
        })
    }

    /// Releases what there may be; gives what to tell the user when that fails.
    pub(super) async fn undo(&self, order: &Order) -> Option<String> {
        let remote = self.remote();
        match (self.phase.get(), &order.key) {
            (Phase::Absent | Phase::Before, _) => None,
            // It may be an earlier run's, and the next run will know.
            (Phase::Asked, Key::Given(key)) => Some(format!(
                "and {} may have the session: run again with --idempotency-key {key}, or `s2uc release {} --s2cs {}`",
                remote.host(),
                order.uid,
                remote.host()
            )),
            (Phase::Asked, Key::Own(_)) | (Phase::Made, _) => {
                release::or_explain(&remote, &order.uid).await.err()
            }
        }
    }

    async fn make_by_gateway(
        &self,
        order: &Order,
        targets: &[String],
        deadline: Deadline,
    ) -> Result<Made, Failure> {
        let Order {
            uid,
            key,
            listeners,
            rate,
            max_rate,
            label,
            lifetime,
            idle_timeout,
        } = order;
        let role = match self.role {
            Role::Consumer => gateway::Role::Consumer,
            Role::Producer => gateway::Role::Producer,
        };
        let request = CreateSessionRequest {
            uid: uid.clone(),
            role: role.into(),
            listeners: u32::from(*listeners),
            reserved_rate_bps: *rate,
            max_rate_bps: *max_rate,
            targets: targets.to_vec(),
            label: label.clone(),
            lifetime: lifetime.and_then(|time| time.try_into().ok()),
            idle_timeout: idle_timeout.and_then(|time| time.try_into().ok()),
            sources: self.sources.clone(),
            idempotency_key: key.as_str().to_owned(),
        };
        let created = gateway_calls::create(&self.remote(), request, deadline).await?;
        let (session, existed) = created;
        let Session {
            listeners, targets, ..
        } = session;
        Ok(self.made(&listeners, targets, existed))
    }

    async fn make_by_control(
        &self,
        order: &Order,
        targets: &[String],
        deadline: Deadline,
    ) -> Result<Made, Failure> {
        self.refuse_what_control_lacks(order)?;
        let wanted = self.wanted(order);
        let hello = Hello {
            uid: order.uid.clone(),
            prod_listeners: targets.to_vec(),
            role: self.role.on_wire().to_owned(),
        };
        let remote = self.remote();
        let asked = control_calls::req_and_hello(&remote, &wanted, hello, deadline);
        let (response, _hello) = asked.await?;
        if !targets.is_empty() {
            control_calls::update(&remote, &wanted, targets.to_vec(), deadline).await?;
        }
        Ok(self.made(&response.listeners, targets.to_vec(), false))
    }

    /// What is asked for and cannot be had is an error, not a surprise.
    fn refuse_what_control_lacks(&self, order: &Order) -> Result<(), Failure> {
        let asked = [
            ("--max-rate", order.max_rate > 0),
            ("--lifetime", order.lifetime.is_some()),
            ("--idle-timeout", order.idle_timeout.is_some()),
            ("--source and --wan-source", !self.sources.is_empty()),
        ];
        let Some((option, _)) = asked.iter().find(|(_, asked)| *asked) else {
            return Ok(());
        };
        let remote = self.remote();
        let host = remote.host();
        Err(Failure::new(
            Exit::Unsupported,
            format!(
                "the gateway {host} knows only SciStream's old service, which has no {option}; leave it out"
            ),
        ))
    }

    fn wanted(&self, order: &Order) -> Wanted {
        Wanted {
            uid: order.uid.clone(),
            role: self.role,
            listeners: i32::from(order.listeners),
            rate: i32::try_from(order.rate.div_ceil(KILOBYTE)).unwrap_or(i32::MAX),
        }
    }

    fn made(&self, listeners: &[String], targets: Vec<String>, existed: bool) -> Made {
        let remote = self.remote();
        let reachable = |listener: &String| reachable(listener, &remote);
        Made {
            listeners: listeners.iter().map(reachable).collect(),
            targets,
            existed,
        }
    }
}

/// A listener as others can dial it: gateways of the reference say `0.0.0.0:5100` when they listen
/// everywhere, and then the address that answered us is one they listen on.
fn reachable(listener: &str, remote: &Remote) -> String {
    let everywhere = listener
        .parse::<HostPort>()
        .ok()
        .and_then(|host| host.literal())
        .filter(|address| address.ip().is_unspecified());
    match everywhere {
        Some(mut address) => {
            address.set_ip(remote.peer().ip());
            address.to_string()
        }
        None => listener.to_owned(),
    }
}
