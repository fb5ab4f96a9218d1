//! Where one sample is taken: a fresh topology, one subject, the meter.
//!
//! Every sample has its own namespaces, so that nothing of an earlier one (TCP metrics, ports in
//! TIME_WAIT, queues) is left for the next subject to find.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bpf_tests::topology::{Family, Host, LinkOptions, TcpOptions, Topology};

use crate::bench::meter::Meter;
use crate::bench::relay::{Relay, Spot, Workshop};
use crate::bench::subject::Subject;

/// One sample's surroundings.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    topology: Topology,
    subject: Subject,
    workshop: &'a Workshop,
    pub(super) meter: &'a Meter,
    /// How long to measure, where the row does not say.
    pub(super) duration: Duration,
}

/// Which links are slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cap {
    /// None.
    Nowhere,
    /// The link between producer and gateway.
    ProducerSide(u64),
    /// The link between gateway and consumer.
    ConsumerSide(u64),
}

impl<'a> Stage<'a> {
    /// Sets the stage for `subject`.
    ///
    /// Errors without root or the tools that make namespaces.
    pub(super) fn set(
        subject: Subject,
        cap: Cap,
        workshop: &'a Workshop,
        meter: &'a Meter,
        duration: Duration,
    ) -> Result<Self> {
        let rate = match cap {
            Cap::ProducerSide(rate) => Some(rate),
            Cap::Nowhere | Cap::ConsumerSide(_) => None,
        };
        // With steering a flow's packets stay in order on veth; without it one-stream figures
        // drown in spurious retransmits and say nothing about the relay.
        let topology = Topology::one(&LinkOptions {
            rate,
            steering: true,
            ..LinkOptions::default()
        })?;
        topology.tune(&TcpOptions::unpaced())?;
        if let Cap::ConsumerSide(rate) = cap {
            topology.gateway.cap("to-consumer", rate)?;
            topology.consumer.cap("to-gateway", rate)?;
        }
        Ok(Self {
            topology,
            subject,
            workshop,
            meter,
            duration,
        })
    }

    /// The hosts and links.
    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Where data come from.
    pub(super) fn producer(&self) -> &Host {
        &self.topology.producer
    }

    /// Where data go.
    pub(super) fn consumer(&self) -> &Host {
        &self.topology.consumer
    }

    /// The consumer's address.
    pub(super) fn consumer_ip(&self) -> std::net::IpAddr {
        self.topology.consumer.ip(Family::V4)
    }

    /// Starts the subject before `target`.
    ///
    /// Errors as [`Workshop::start`].
    pub(super) fn relay(&self, target: SocketAddr) -> Result<Relay> {
        let [near, far] = [&self.topology.gateway, &self.topology.consumer].map(|host| Spot {
            netns: host.netns(),
            address: host.ip(Family::V4),
        });
        self.workshop.start(self.subject, (near, far), target)
    }
}
