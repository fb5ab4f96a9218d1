//! What a case holds in its hands: the gateway that is running, its log, and the two hosts to dial
//! from and to accept on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::Signal;

use crate::netns::Place;
use crate::patience::stretched;
use crate::topology::{Family, Topology};
use crate::traffic::{Endpoint, Pattern, Watch};

use super::closed::Closed;
use super::connection::Connection;
use super::faulty::StandIn;
use super::log::{Log, REFUSED};
use super::mount::{Ground, Mount};
use super::relay::{Gateway, Relay};
use super::setup::Setup;
use super::target::TargetListener;

/// How long a connection may take to be dialled.
const DIAL_PATIENCE: Duration = Duration::from_secs(20);
/// How long a condition may take to come true.
const CONDITION_PATIENCE: Duration = Duration::from_secs(20);
/// How long the gateway may take to comment on a failure.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two looks at a condition that nothing announces.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Everything a case needs.
pub struct Rig<'m> {
    mount: &'m Mount,
    hosts: Option<Topology>,
    target: TargetListener,
    relay: Arc<dyn Relay>,
    killed: AtomicBool,
    log: Log,
}

impl<'m> Rig<'m> {
    pub(super) fn start(mount: &'m Mount, setup: &Setup) -> Result<Self> {
        let hosts = match mount.ground() {
            Ground::Loopback => None,
            Ground::Routed => Some(Topology::one(&setup.link)?),
        };
        let (at_target, target_ip, listen_ip) = match &hosts {
            None => (Place::Here, loopback(setup.family), loopback(setup.family)),
            Some(hosts) => {
                let target = hosts.consumer.ip(setup.family);
                (
                    hosts.consumer.place(),
                    target,
                    hosts.gateway.ip(setup.family),
                )
            }
        };
        let target = TargetListener::open(at_target, target_ip, setup.target)?;
        let dial = target.address()?;
        let addresses = [SocketAddr::new(listen_ip, 0), dial];
        let place = hosts
            .as_ref()
            .map_or(Place::Here, |hosts| hosts.gateway.place());
        let relay: Arc<dyn Relay> = match mount.fault() {
            Some(fault) => Arc::new(place.enter(|| StandIn::start(addresses, fault))??),
            None => Arc::new(Gateway::start(place, mount, addresses, &setup.args)?),
        };
        let stuck: Weak<dyn Relay> = Arc::downgrade(&relay);
        mount.watch().on_timeout(move || {
            if let Some(relay) = stuck.upgrade() {
                // Nothing can be done about a gateway that cannot even be killed.
                drop(relay.signal(Signal::KILL));
            }
        });
        let log = Log::new(Arc::clone(&relay), mount.watch().clone());
        let rig = Self {
            mount,
            hosts,
            target,
            relay,
            killed: AtomicBool::new(false),
            log,
        };
        rig.runs_the_plane()?;
        Ok(rig)
    }

    /// The mount this runs on.
    pub fn mount(&self) -> &Mount {
        self.mount
    }

    /// The gateway's log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The gateway, or what stands in for it.
    pub fn relay(&self) -> &dyn Relay {
        &*self.relay
    }

    /// The three hosts, on routed ground.
    pub fn hosts(&self) -> Option<&Topology> {
        self.hosts.as_ref()
    }

    /// The list of what is being waited for.
    pub fn watch(&self) -> &Watch {
        self.mount.watch()
    }

    /// Opens a connection through the gateway: dials, and accepts what the gateway dialled.
    /// Connections are told apart by their order, so one at a time; see `Crowd` for many.
    ///
    /// # Errors
    /// When either end does not come.
    pub fn open(&self) -> Result<Connection> {
        let seeds = [self.mount.seed().derive(), self.mount.seed().derive()].map(Pattern::new);
        let downstream = self.dial()?;
        let address = downstream.local_addr()?;
        let upstream = self.accept()?;
        let [to_upstream, to_downstream] = seeds;
        Ok(Connection {
            downstream: self.endpoint("downstream", downstream, [to_upstream, to_downstream])?,
            upstream: self.endpoint("upstream", upstream, [to_downstream, to_upstream])?,
            address,
        })
    }

    /// An endpoint with the mount's patience.
    ///
    /// # Errors
    /// When the socket takes no options.
    pub fn endpoint(
        &self,
        name: &str,
        stream: TcpStream,
        patterns: [Pattern; 2],
    ) -> Result<Endpoint> {
        let name = format!("{name} end {}", stream.local_addr()?);
        let endpoint = Endpoint::new(name, stream, patterns, self.watch())?;
        if let Some(patience) = self.mount.patience() {
            endpoint.set_patience(patience)?;
        }
        Ok(endpoint)
    }

    /// Dials the gateway from the producer's side.
    ///
    /// # Errors
    /// When the gateway does not accept.
    pub fn dial(&self) -> Result<TcpStream> {
        let listen = self.relay.listen();
        let _waiting = self
            .watch()
            .waiting(format!("dialling the gateway at {listen}"));
        self.try_dial()?
            .with_context(|| format!("dialling the gateway at {listen}"))
    }

    /// Dials the gateway from the producer's side; the inner result is what came of it.
    ///
    /// # Errors
    /// When the producer's namespace cannot be entered.
    pub fn try_dial(&self) -> Result<std::io::Result<TcpStream>> {
        let listen = self.relay.listen();
        self.at_producer(|| TcpStream::connect_timeout(&listen, stretched(DIAL_PATIENCE)))
    }

    /// Runs `work` where the producer is: sockets made there can be used anywhere.
    ///
    /// # Errors
    /// When its namespace cannot be entered.
    pub fn at_producer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let place = self
            .hosts
            .as_ref()
            .map_or(Place::Here, |hosts| hosts.producer.place());
        place.enter(work)
    }

    /// Where the producer dials.
    pub fn listen(&self) -> SocketAddr {
        self.relay.listen()
    }

    /// Accepts the next connection that the gateway dials.
    ///
    /// # Errors
    /// When none comes.
    pub fn accept(&self) -> Result<TcpStream> {
        let _waiting = self.watch().waiting("the gateway to dial the target");
        self.target.accept()
    }

    /// Accepts a connection that the gateway has dialled already, if there is one.
    ///
    /// # Errors
    /// When the listener fails.
    pub fn accept_if_there(&self) -> Result<Option<TcpStream>> {
        self.target.accept_if_there()
    }

    /// Lets a late target answer the SYNs that it has left unanswered.
    ///
    /// # Errors
    /// When what filled its queue cannot be taken out.
    pub fn release_target(&self) -> Result<()> {
        self.target.release()
    }

    /// Kills the gateway, which then need not end well.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self) -> Result<()> {
        self.killed.store(true, Ordering::Relaxed);
        self.relay.signal(Signal::KILL)
    }

    /// Waits until so many of the gateway's SYNs to the target are unanswered.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn unanswered_dials(&self, count: usize) -> Result<()> {
        let process = self.relay.process_id().unwrap_or_else(std::process::id);
        let what = format!("{count} unanswered SYNs to the target");
        self.until(&what, || {
            Ok(self.target.unanswered_dials_of(process)? >= count)
        })
    }

    /// Waits until `condition` holds, for what nothing announces.
    ///
    /// # Errors
    /// When it does not come to hold, or cannot be told.
    pub fn until(&self, what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        let _waiting = self.watch().waiting(what);
        let deadline = Instant::now() + stretched(CONDITION_PATIENCE);
        while !condition()? {
            ensure!(
                Instant::now() < deadline,
                "{what}: not after {:?}",
                stretched(CONDITION_PATIENCE)
            );
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Fails unless a connection that both ends have finished is settled: equal counts and hashes
    /// at both ends, and a closing line that says the same.
    ///
    /// # Errors
    /// What does not agree.
    pub fn settle(&self, connection: &Connection) -> Result<Closed> {
        connection.arrived()?;
        let closed = self.log.closed(connection.address)?;
        closed.ended("finished")?;
        closed.carried(connection.downstream.sent(), connection.upstream.sent())?;
        closed.on_plane(self.mount.plane())?;
        Ok(closed)
    }

    /// The closing line of a connection that was cut off: it must not claim more than came in.
    ///
    /// # Errors
    /// What it claims.
    pub fn cut_off(&self, address: SocketAddr, reason: &str) -> Result<Closed> {
        let closed = self.log.closed(address)?;
        closed.ended(reason)?;
        closed.invented_nothing()?;
        closed.on_plane(self.mount.plane())?;
        Ok(closed)
    }

    /// Ends the gateway, which must have logged no error and must end well.
    pub(super) fn end(self) -> Result<()> {
        let Self {
            relay,
            log,
            hosts,
            killed,
            ..
        } = self;
        let faults = log.faults();
        ensure!(
            faults.is_empty(),
            "the gateway logged errors:\n{}",
            faults.join("\n")
        );
        drop(log);
        if !killed.into_inner() {
            relay.end()?;
        }
        drop(hosts);
        Ok(())
    }

    /// Adds what the gateway said to a failure: its errors, whom it refused, and its last lines once
    /// it has seen the ends go away.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let (_, seen) = self.relay.lines_from(usize::MAX);
        self.relay.wait_for_lines_beyond(seen, LAST_WORDS_PATIENCE);
        let faults = self.log.faults().join("\n");
        let refusals = self.log.lines_so_far(REFUSED);
        let tail = self.relay.tail();
        anyhow!(
            "{error:#}\nthe gateway's errors:\n{faults}\nwhom it refused: {refusals:?}\nits last \
             lines:\n{tail}"
        )
    }

    /// The gateway must say that it runs the plane under test; on routed ground, where there are
    /// all privileges, it must not have declined one.
    fn runs_the_plane(&self) -> Result<()> {
        let asked = self.mount.plane().as_str();
        let chosen = self.log.line("plane chosen", |_| true)?;
        let plane = chosen.text("plane")?;
        ensure!(
            plane == asked,
            "asked for --plane {asked}, the gateway chose {plane}"
        );
        if self.mount.ground() == Ground::Routed
            && let Some(declined) = self.log.lines_so_far("plane declined").first()
        {
            bail!("the gateway declined a plane that this host has: {declined:?}");
        }
        Ok(())
    }
}

fn loopback(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}
