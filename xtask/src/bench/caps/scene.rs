//! A gateway between producer and consumer, and sessions on it that are flooded.

use std::net::{SocketAddr, TcpListener};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bpf_tests::gateway::Plane;
use bpf_tests::load;
use bpf_tests::load::flood::Flood;
use bpf_tests::real::served::Served;
use bpf_tests::topology::{Family, LinkOptions, TcpOptions, Topology};

use crate::bench::callers::{Callers, texts};

/// How long queues fill and rates settle before anything is counted.
pub(super) const LEAD: Duration = Duration::from_secs(2);

const PORTS: &str = "12000-12999";

/// Hosts and a gateway. What was last made goes first.
#[derive(Debug)]
pub(super) struct Scene {
    gateway: Served,
    callers: Callers,
    topology: Topology,
}

/// What a session is to have, bits per second; 0 for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// Its cap.
    pub(super) max_rate: u64,
    /// Its reservation.
    pub(super) reserved: u64,
}

/// A session, and the application that it sends to.
#[derive(Debug)]
pub(super) struct Opened {
    listener: SocketAddr,
    application: TcpListener,
}

impl Scene {
    /// Hosts with links of `rate`, or as fast as it goes, and a gateway that moves by `plane`;
    /// `capacity` is what it is told of the link.
    ///
    /// Errors without root, or when the gateway does not start.
    pub(super) fn set(plane: Plane, rate: Option<u64>, capacity: Option<u64>) -> Result<Self> {
        let topology = Topology::one(&LinkOptions {
            rate,
            steering: true,
            ..LinkOptions::default()
        })?;
        topology.tune(&TcpOptions::unpaced())?;
        let callers = Callers::new()?;
        let capacity = capacity.map_or_else(String::new, |bits| format!("capacity = \"{bits}\"\n"));
        let more = format!("{capacity}[data]\nplane = \"{plane}\"\n");
        let (user, place) = (&callers.user, topology.gateway.place());
        let gateway = callers.setup.serve_everywhere(user, place, PORTS, &more)?;
        Ok(Self {
            gateway,
            callers,
            topology,
        })
    }

    /// Makes sessions on such terms.
    ///
    /// Errors when one of them is refused.
    pub(super) fn open(&self, terms: &[Terms]) -> Result<Vec<Opened>> {
        let consumer = &self.topology.consumer;
        let listen = |_: &Terms| load::listen(consumer.netns(), consumer.ip(Family::V4));
        let applications: Vec<TcpListener> = terms.iter().map(listen).collect::<Result<_>>()?;
        let mut args = vec!["hold".to_owned()];
        for (terms, application) in terms.iter().zip(&applications) {
            let Terms { max_rate, reserved } = terms;
            let target = application.local_addr()?;
            args.push("--session".to_owned());
            args.push(format!("{target},max={max_rate},reserved={reserved}"));
        }
        let place = self.topology.gateway.place();
        let said = self.callers.call(place, &self.gateway, &args)?;
        let listeners = texts(&said.hear("listeners")?, "listeners")?;
        let gateway = self.topology.gateway.ip(Family::V4);
        let opened = listeners.iter().zip(applications);
        opened
            .map(|(listener, application)| {
                let told: SocketAddr = listener
                    .parse()
                    .with_context(|| format!("`{listener}` is no address"))?;
                Ok(Opened {
                    listener: SocketAddr::new(gateway, told.port()),
                    application,
                })
            })
            .collect()
    }

    /// Floods a session by so many connections, at `rate` or as fast as it goes.
    ///
    /// Errors when a connection does not get through.
    pub(super) fn flood(
        &self,
        session: &Opened,
        connections: usize,
        rate: Option<u64>,
    ) -> Result<Flood> {
        let join = |_| {
            let producer = self.topology.producer.netns();
            load::join(producer, session.listener, &session.application)
        };
        let streams = (0..connections).map(join).collect::<Result<_>>()?;
        Flood::start(streams, rate)
    }
}

/// What arrives by each flood in `window`, bits per second.
///
/// Errors when a stream breaks off.
pub(super) fn rates(floods: &[Flood], window: Duration) -> Result<Vec<f64>> {
    sleep(LEAD);
    let count = || {
        floods
            .iter()
            .map(Flood::arrived)
            .collect::<Result<Vec<_>>>()
    };
    let (began, before) = (Instant::now(), count()?);
    sleep(window);
    let after = count()?;
    let seconds = began.elapsed().as_secs_f64();
    let both = before.iter().zip(after);
    Ok(both
        .map(|(before, after)| (after - before) as f64 * 8.0 / seconds)
        .collect())
}
