//! Where the run takes place: three namespaces where this process may make them, else loopback.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use bpf_tests::capability::Capability;
use bpf_tests::netns::Place;
use bpf_tests::topology::{Family, Host, LinkOptions, TcpOptions, Topology};

use super::RunArgs;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where the run takes place.
pub(super) enum Stage {
    /// producer - gateway - consumer.
    Namespaces(Box<Topology>),
    /// One host; why there are not three.
    Loopback(String),
}

impl Stage {
    /// The best this process may have.
    pub(super) fn set() -> Result<Self> {
        // As in the bench: without steering veth reorders whenever a sender changes its CPU.
        let options = LinkOptions {
            steering: true,
            ..LinkOptions::default()
        };
        match Capability::Netns.check() {
            Ok(()) => {
                let topology = Topology::one(&options)?;
                topology.tune(&TcpOptions::unpaced())?;
                Ok(Self::Namespaces(Box::new(topology)))
            }
            Err(reason) => Ok(Self::Loopback(reason)),
        }
    }

    /// What a person sees first: who streams to whom, and where.
    pub(super) fn describe(&self, args: &RunArgs) -> String {
        let RunArgs {
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
        let place = match self {
            Self::Namespaces(_) => "three network namespaces",
            Self::Loopback(_) => "loopback",
        };
        let note = match self {
            Self::Namespaces(_) => String::new(),
            Self::Loopback(reason) => format!("\n  No namespaces and no eBPF here: {reason}.\n"),
        };
        format!(
            "\n  producer -----> gateway -----> consumer      {streams}, {rounds} of {seconds} s\n  \
             iperf3 -c       s2cs           iperf3 -s     {place}, {cpus} CPUs\n{note}"
        )
    }

    /// Where iperf3 dials from.
    pub(super) fn dialler_place(&self) -> Place<'_> {
        self.place(|topology| &topology.producer)
    }

    /// Where the gateways run.
    pub(super) fn gateway_place(&self) -> Place<'_> {
        self.place(|topology| &topology.gateway)
    }

    /// Where iperf3 listens.
    pub(super) fn sink_place(&self) -> Place<'_> {
        self.place(|topology| &topology.consumer)
    }

    /// The address the gateways listen on.
    pub(super) fn gateway_address(&self) -> IpAddr {
        self.address(|topology| &topology.gateway)
    }

    /// The address iperf3 listens on.
    pub(super) fn sink_address(&self) -> IpAddr {
        self.address(|topology| &topology.consumer)
    }

    fn place(&self, host: impl Fn(&Topology) -> &Host) -> Place<'_> {
        match self {
            Self::Namespaces(topology) => host(topology).place(),
            Self::Loopback(_) => Place::Here,
        }
    }

    fn address(&self, host: impl Fn(&Topology) -> &Host) -> IpAddr {
        match self {
            Self::Namespaces(topology) => host(topology).ip(Family::V4),
            Self::Loopback(_) => LOOPBACK,
        }
    }
}
