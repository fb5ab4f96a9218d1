//! Where the run takes place: namespaces where this process may make them, else loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;
use bpf_tests::capability::Capability;
use bpf_tests::netns::Place;
use bpf_tests::topology::{
    Family, Host, LinkOptions, TcpOptions, Topology, TwoGateways, TwoOptions,
};
use bpf_tests::wan::WanOptions;

use super::{Demonstration, RunArgs};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the run takes place.
pub(super) struct Stage {
    demonstration: Demonstration,
    ground: Ground,
}

enum Ground {
    /// producer - gateway - consumer.
    One(Box<Topology>),
    /// producer - gateway 1 - gateway 2 - consumer.
    Two(Box<TwoGateways>),
    /// One host; why there are not several.
    Loopback(String),
}

/// A host: where something starts, and the address by which others reach it.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) place: Place<'a>,
    pub(super) address: IpAddr,
}

impl Stage {
    /// The best this process may have.
    pub(super) fn set(demonstration: Demonstration) -> Result<Self> {
        let ground = match Capability::Netns.check() {
            Ok(()) => Ground::make(demonstration)?,
            Err(reason) => Ground::Loopback(reason),
        };
        Ok(Self {
            demonstration,
            ground,
        })
    }

    /// Loopback, for `reason`.
    #[cfg(test)]
    pub(super) fn loopback(demonstration: Demonstration, reason: &str) -> Self {
        Self {
            demonstration,
            ground: Ground::Loopback(reason.to_owned()),
        }
    }

    /// What a person sees first: who streams to whom, and where.
    pub(super) fn describe(&self, args: &RunArgs) -> String {
        let RunArgs {
            demonstration: _,
            seconds,
            rounds,
            streams,
            s2cs: _,
        } = args;
        let plural = |count: u32, noun: &str| match count {
            1 => format!("1 {noun}"),
            _ => format!("{count} {noun}s"),
        };
        let streams = plural(*streams, "TCP stream");
        let rounds = plural(*rounds, "round");
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let cast = match self.demonstration {
            Demonstration::Session => {
                "  producer -----> gateway 1 -----> gateway 2 -----> consumer\n  \
                 iperf3 -s       s2cs serve       s2cs serve       iperf3 -c -R"
            }
            Demonstration::Forward => {
                "  producer -----> gateway -----> consumer\n  \
                 iperf3 -c       s2cs forward   iperf3 -s"
            }
        };
        let place = match &self.ground {
            Ground::One(_) => "three network namespaces",
            Ground::Two(_) => "four network namespaces",
            Ground::Loopback(_) => "all on loopback",
        };
        let note = match &self.ground {
            Ground::One(_) | Ground::Two(_) => String::new(),
            Ground::Loopback(reason) => {
                format!("\n\n  No namespaces and no eBPF here: {reason}.")
            }
        };
        format!("\n{cast}\n\n  {streams}, {rounds} of {seconds} s; {place}, {cpus} CPUs{note}\n")
    }

    /// Whether data flow from the one who listens to the one who dials. In a session the producer
    /// listens.
    pub(super) fn listener_sends(&self) -> bool {
        match self.demonstration {
            Demonstration::Session => true,
            Demonstration::Forward => false,
        }
    }

    /// Where iperf3 dials from.
    pub(super) fn dialler(&self) -> Place<'_> {
        match &self.ground {
            Ground::One(topology) => topology.producer.place(),
            Ground::Two(topology) => topology.consumer.place(),
            Ground::Loopback(_) => Place::Here,
        }
    }

    /// Where iperf3 listens.
    pub(super) fn sink(&self) -> Spot<'_> {
        match &self.ground {
            Ground::One(topology) => Spot::of(&topology.consumer),
            Ground::Two(topology) => Spot::of(&topology.producer),
            Ground::Loopback(_) => Spot::LOOPBACK,
        }
    }

    /// Where the producer's gateway runs and where the consumer's does, as the one who dials reaches
    /// them; the same where there is only one.
    pub(super) fn gateways(&self) -> [Spot<'_>; 2] {
        match &self.ground {
            Ground::One(topology) => [Spot::of(&topology.gateway); 2],
            Ground::Two(topology) => {
                let [producer, consumer] = topology.towards_consumer(Family::V4);
                [
                    Spot::at(&topology.producer_gateway, producer),
                    Spot::at(&topology.consumer_gateway, consumer),
                ]
            }
            Ground::Loopback(_) => [Spot::LOOPBACK; 2],
        }
    }

    /// Whether everything shares one host's ports.
    pub(super) fn is_loopback(&self) -> bool {
        matches!(self.ground, Ground::Loopback(_))
    }
}

impl Ground {
    fn make(demonstration: Demonstration) -> Result<Self> {
        // As in the bench: without steering veth reorders whenever a sender changes its CPU.
        let lan = LinkOptions {
            steering: true,
            ..LinkOptions::default()
        };
        match demonstration {
            Demonstration::Session => {
                let wan = WanOptions::new(Duration::ZERO);
                let topology = TwoGateways::new(&TwoOptions { lan, wan })?;
                topology.tune(&TcpOptions::unpaced())?;
                Ok(Self::Two(Box::new(topology)))
            }
            Demonstration::Forward => {
                let topology = Topology::one(&lan)?;
                topology.tune(&TcpOptions::unpaced())?;
                Ok(Self::One(Box::new(topology)))
            }
        }
    }
}

impl<'a> Spot<'a> {
    const LOOPBACK: Self = Self {
        place: Place::Here,
        address: LOOPBACK,
    };

    fn of(host: &'a Host) -> Self {
        Self::at(host, host.ip(Family::V4))
    }

    fn at(host: &'a Host, address: IpAddr) -> Self {
        Self {
            place: host.place(),
            address,
        }
    }
}
