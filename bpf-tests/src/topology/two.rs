//! Two gateways with a wide-area line between them.
//!
//! ```text
//!   producer              gateway1                gateway2              consumer
//!   ┌────────────┐  ┌──────────────────┐    ┌──────────────────┐  ┌────────────┐
//!   │ to-gateway │══│ to-producer      │    │      to-consumer │══│ to-gateway │
//!   │ 10.71.1.2  │  │ 10.71.1.1 to-wan │~~~~│ to-wan 10.71.2.1 │  │ 10.71.2.2  │
//!   │ fd71:1::2  │  │ 10.71.3.1        │    │        10.71.3.2 │  │ fd71:2::2  │
//!   └────────────┘  └──────────────────┘    └──────────────────┘  └────────────┘
//!      veth, `lan`                 Wan or veth, `wan`                veth, `lan`
//! ```
//!
//! Both gateways route, so producer and consumer also reach each other without a relay.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Family, Host, LinkOptions, TcpOptions, link, v4, v6};
use crate::wan::{Devices, End, Maker, Wan, WanCounters, WanOptions, netem};

/// The device of both gateways that leads to the other one.
const WAN_DEVICE: &str = "to-wan";

/// The subnet of the producer's link.
const PRODUCER_LAN: u8 = 1;
/// The subnet of the consumer's link.
const CONSUMER_LAN: u8 = 2;
/// The subnet between the gateways.
const WIDE: u8 = 3;

/// The shortest round trip that is emulated, microseconds. Below it a veth pair is nearer to the
/// truth: the emulator's own wake-ups take some 0.4 ms there and back.
const EMULATED_FROM_US: u128 = 1_000;

/// Four hosts in a row.
#[derive(Debug)]
pub struct TwoGateways {
    /// `None` when a veth pair stands for the line, or netem holds the packets. Dropped first: its threads
    /// hold the devices of the namespaces.
    wan: Option<Wan>,
    /// Where data come from.
    pub producer: Host,
    /// The producer's gateway; its address is the one that the producer dials.
    pub producer_gateway: Host,
    /// The consumer's gateway; its address is the one that the other gateway dials.
    pub consumer_gateway: Host,
    /// Where data go.
    pub consumer: Host,
}

/// How the links behave.
#[derive(Clone, Debug)]
pub struct TwoOptions {
    /// Producer's and consumer's links. MTU and offloads are those of the wide area, too; the rate
    /// is of the producer's link.
    pub lan: LinkOptions,
    /// The line between the gateways.
    pub wan: WanOptions,
}

impl TwoGateways {
    /// producer - gateway - WAN - gateway - consumer after `options`.
    ///
    /// # Errors
    /// Without root, or without `ip`, `tc`, `ethtool` or `/dev/net/tun` where the options need
    /// them; when the options make no sense.
    pub fn new(options: &TwoOptions) -> Result<Self> {
        let TwoOptions { lan, wan } = options;
        let producer = Host::new("producer", PRODUCER_LAN, 2, vec!["to-gateway"])?;
        let near_devices = vec!["to-producer", WAN_DEVICE];
        let producer_gateway = Host::new("gateway1", PRODUCER_LAN, 1, near_devices)?;
        let far_devices = vec![WAN_DEVICE, "to-consumer"];
        let consumer_gateway = Host::new("gateway2", WIDE, 2, far_devices)?;
        let consumer = Host::new("consumer", CONSUMER_LAN, 2, vec!["to-gateway"])?;

        let gateways = [&producer_gateway, &consumer_gateway];
        let devices = join_wide(gateways, lan, wan)?;
        link::join(
            &producer.netns,
            "to-gateway",
            &producer_gateway.netns,
            "to-producer",
        )?;
        link::join(
            &consumer_gateway.netns,
            "to-consumer",
            &consumer.netns,
            "to-gateway",
        )?;
        let mut topology = Self {
            wan: None,
            producer,
            producer_gateway,
            consumer_gateway,
            consumer,
        };
        topology.shape(lan)?;
        topology.address()?;
        // What the hosts say when an address comes up waits until both ends can hear it.
        topology.wan = devices.map(|both| Wan::start(both, wan)).transpose()?;
        Ok(topology)
    }

    /// The four hosts, from producer to consumer.
    pub fn hosts(&self) -> [&Host; 4] {
        [
            &self.producer,
            &self.producer_gateway,
            &self.consumer_gateway,
            &self.consumer,
        ]
    }

    /// Where those who come from the consumer's side reach the producer's gateway and the consumer's.
    pub fn towards_consumer(&self, family: Family) -> [IpAddr; 2] {
        [WIDE, CONSUMER_LAN].map(|subnet| match family {
            Family::V4 => v4(subnet, 1).into(),
            Family::V6 => v6(subnet, 1).into(),
        })
    }

    /// Gives every host the same TCP settings; single ones have [`Host::tune`].
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn tune(&self, options: &TcpOptions) -> Result<()> {
        self.hosts()
            .into_iter()
            .try_for_each(|host| host.tune(options))
    }

    /// The emulated line; `None` when a veth pair stands for it, or netem makes it.
    pub fn wan(&self) -> Option<&Wan> {
        self.wan.as_ref()
    }

    /// What the emulated line did so far, towards the consumer and back, with the packets that
    /// the gateways' kernels dropped before it; `None` where there is no [`wan`](Self::wan).
    ///
    /// # Errors
    /// When `ip` does not tell.
    pub fn wan_counters(&self) -> Result<Option<WanCounters>> {
        let Some(wan) = &self.wan else {
            return Ok(None);
        };
        let mut counters = wan.counters();
        counters.there.drops.unread = dropped_by_device(&self.producer_gateway)?;
        counters.back.drops.unread = dropped_by_device(&self.consumer_gateway)?;
        Ok(Some(counters))
    }

    fn shape(&self, lan: &LinkOptions) -> Result<()> {
        let ends = [
            (&self.producer, "to-gateway"),
            (&self.producer_gateway, "to-producer"),
            (&self.consumer_gateway, "to-consumer"),
            (&self.consumer, "to-gateway"),
        ];
        for (host, device) in ends {
            link::shape(&host.netns, device, lan)?;
        }
        if let Some(rate) = lan.rate {
            link::cap(&self.producer.netns, "to-gateway", rate)?;
            link::cap(&self.producer_gateway.netns, "to-producer", rate)?;
        }
        Ok(())
    }

    fn address(&self) -> Result<()> {
        self.producer.address("to-gateway", PRODUCER_LAN, 2)?;
        self.producer_gateway
            .address("to-producer", PRODUCER_LAN, 1)?;
        self.producer_gateway.address(WAN_DEVICE, WIDE, 1)?;
        self.consumer_gateway.address(WAN_DEVICE, WIDE, 2)?;
        self.consumer_gateway
            .address("to-consumer", CONSUMER_LAN, 1)?;
        self.consumer.address("to-gateway", CONSUMER_LAN, 2)?;
        self.producer_gateway.forward()?;
        self.consumer_gateway.forward()?;
        self.producer.route_by(PRODUCER_LAN)?;
        self.producer_gateway.default_route(WIDE, 2)?;
        self.consumer_gateway.default_route(WIDE, 1)?;
        self.consumer.route_by(CONSUMER_LAN)
    }
}

/// Joins the gateways by the devices of an emulated line, or by a veth pair where that is nearer to
/// the truth.
fn join_wide(
    [near, far]: [&Host; 2],
    lan: &LinkOptions,
    options: &WanOptions,
) -> Result<Option<Devices>> {
    if is_emulated(options) && options.maker == Maker::Threads {
        let ends = [near, far].map(|host| End {
            host: &host.netns,
            device: WAN_DEVICE,
        });
        let devices = Devices::make(ends, lan.offloads)?;
        for host in [near, far] {
            let mtu = lan.mtu.to_string();
            host.netns.ip(&["link", "set", WAN_DEVICE, "mtu", &mtu])?;
        }
        return Ok(Some(devices));
    }
    link::join(&near.netns, WAN_DEVICE, &far.netns, WAN_DEVICE)?;
    for host in [near, far] {
        link::shape(&host.netns, WAN_DEVICE, lan)?;
        if is_emulated(options) {
            netem::hold(&host.netns, WAN_DEVICE, (options, lan.mtu))?;
        } else if let Some(rate) = options.rate {
            link::cap(&host.netns, WAN_DEVICE, rate)?;
        }
    }
    Ok(None)
}

fn is_emulated(options: &WanOptions) -> bool {
    let WanOptions {
        rtt,
        rate: _,
        queue: _,
        loss,
        jitter,
        reorder,
        seed: _,
        memory: _,
        maker: _,
    } = options;
    rtt.as_micros() >= EMULATED_FROM_US || *loss > 0.0 || !jitter.is_zero() || *reorder > 0.0
}

/// Packets that `host` wanted to send by the line's device and dropped.
fn dropped_by_device(host: &Host) -> Result<u64> {
    let text = host
        .netns
        .ip(&["-json", "-stats", "link", "show", "dev", WAN_DEVICE])?;
    let devices: Value = serde_json::from_str(&text).context("`ip -json` wrote no JSON")?;
    let dropped = devices.pointer("/0/stats64/tx/dropped");
    let dropped = dropped.and_then(Value::as_u64);
    dropped.context("`ip -json -stats link` has no stats64.tx.dropped")
}
