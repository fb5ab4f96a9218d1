//! Hosts and links, each host a network namespace: producer - gateway - consumer here, with a
//! second gateway behind a wide-area line in [`TwoGateways`], as long as those of [`Published`].
//!
//! ```text
//!   producer                    gateway                      consumer
//!   ┌────────────────┐   ┌────────────────────────┐   ┌────────────────┐
//!   │     to-gateway │═══│ to-producer to-consumer│═══│ to-gateway     │
//!   │     10.71.1.2  │   │ 10.71.1.1   10.71.2.1  │   │ 10.71.2.2      │
//!   │     fd71:1::2  │   │ fd71:1::1   fd71:2::1  │   │ fd71:2::2      │
//!   └────────────────┘   └────────────────────────┘   └────────────────┘
//!        rate cap ══►      ◄══ rate cap
//! ```
//!
//! The gateway routes (ip_forward), so the producer also reaches the consumer's own addresses
//! without a relay: the baseline every plane is compared with. The addresses are the same in every
//! topology: they live in private namespaces, so that runs do not meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Result;

use crate::netns::{Netns, Place};

mod congestion;
mod link;
mod published;
mod two;

pub use link::LinkOptions;
pub use published::{Published, RoundTrips};
pub use two::{TwoGateways, TwoOptions};

/// Three hosts in a row.
#[derive(Debug)]
pub struct Topology {
    /// Where data come from.
    pub producer: Host,
    /// Where the relay runs. Its addresses are those the producer dials.
    pub gateway: Host,
    /// Where data go.
    pub consumer: Host,
}

/// One host: a namespace with its addresses and devices.
#[derive(Debug)]
pub struct Host {
    netns: Netns,
    addresses: [IpAddr; 2],
    devices: Vec<&'static str>,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// TCP's settings of one host; `None` keeps what the kernel gave the namespace.
#[derive(Clone, Debug, Default)]
pub struct TcpOptions {
    /// Receive buffer, bytes: least, default, most (`net.ipv4.tcp_rmem`).
    pub receive_buffer: Option<[u32; 3]>,
    /// Send buffer, bytes: least, default, most (`net.ipv4.tcp_wmem`).
    pub send_buffer: Option<[u32; 3]>,
    /// `cubic`, `bbr`, `reno`.
    pub congestion_control: Option<String>,
}

impl TcpOptions {
    /// `cubic`, as Linux comes. New namespaces inherit the machine's own choice, and `bbr` paces every
    /// socket by a timer: on a short link between namespaces that timer, not the relay, sets the speed.
    pub fn unpaced() -> Self {
        Self {
            congestion_control: Some("cubic".to_owned()),
            ..Self::default()
        }
    }
}

impl Topology {
    /// producer - gateway - consumer, with both links made after `options`; the rate cap is on the
    /// producer's link, in both directions.
    ///
    /// # Errors
    /// Without root or without `ip`, `tc` or `ethtool` where the options need them.
    pub fn one(options: &LinkOptions) -> Result<Self> {
        let producer = Host::new("producer", 1, 2, vec!["to-gateway"])?;
        let gateway = Host::new("gateway", 1, 1, vec!["to-producer", "to-consumer"])?;
        let consumer = Host::new("consumer", 2, 2, vec!["to-gateway"])?;

        link::join(&producer.netns, "to-gateway", &gateway.netns, "to-producer")?;
        link::join(&gateway.netns, "to-consumer", &consumer.netns, "to-gateway")?;
        producer.address("to-gateway", 1, 2)?;
        gateway.address("to-producer", 1, 1)?;
        gateway.address("to-consumer", 2, 1)?;
        consumer.address("to-gateway", 2, 2)?;
        for host in [&producer, &gateway, &consumer] {
            for device in &host.devices {
                link::shape(&host.netns, device, options)?;
            }
        }
        if let Some(rate) = options.rate {
            link::cap(&producer.netns, "to-gateway", rate)?;
            link::cap(&gateway.netns, "to-producer", rate)?;
        }

        gateway.forward()?;
        producer.route_by(1)?;
        consumer.route_by(2)?;
        Ok(Self {
            producer,
            gateway,
            consumer,
        })
    }

    /// The three hosts, from producer to consumer.
    pub fn hosts(&self) -> [&Host; 3] {
        [&self.producer, &self.gateway, &self.consumer]
    }

    /// Gives every host the same TCP settings.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn tune(&self, options: &TcpOptions) -> Result<()> {
        self.hosts()
            .into_iter()
            .try_for_each(|host| host.tune(options))
    }
}

impl TcpOptions {
    /// Buffers and a congestion control (`cubic`, `bbr`) for one stream that fills a path of
    /// `rate` bits per second and this round-trip time.
    ///
    /// The kernel counts memory, not bytes, and gives at most half of the receive buffer as a
    /// window: four times the bandwidth-delay product to receive, three times to send what waits
    /// and what is not acknowledged. Autotuning takes what it needs below these.
    pub fn for_path(rate: u64, rtt: Duration, congestion_control: &str) -> Self {
        /// What a short path gets, bytes: the kernel's own order of magnitude.
        const LEAST: f64 = 16e6;
        /// The kernel's own limit is 2 GiB; a machine's memory for TCP is a few.
        const MOST: f64 = 1e9;
        let product = rate as f64 / 8.0 * rtt.as_secs_f64();
        let buffer = |times: f64| (product * times).clamp(LEAST, MOST) as u32;
        Self {
            receive_buffer: Some([4_096, 131_072, buffer(4.0)]),
            send_buffer: Some([4_096, 131_072, buffer(3.0)]),
            congestion_control: Some(congestion_control.to_owned()),
        }
    }
}

impl Host {
    fn new(role: &str, subnet: u8, last: u8, devices: Vec<&'static str>) -> Result<Self> {
        let netns = Netns::new(role)?;
        // Addresses are usable at once: nobody else could hold them.
        netns.set_sysctl("net.ipv6.conf.default.accept_dad", "0")?;
        let addresses = [v4(subnet, last).into(), v6(subnet, last).into()];
        Ok(Self {
            netns,
            addresses,
            devices,
        })
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The namespace, as a place to run something.
    pub fn place(&self) -> Place<'_> {
        Place::Inside(&self.netns)
    }

    /// The address other hosts reach this one by; the gateway's is the one producers dial.
    pub fn ip(&self, family: Family) -> IpAddr {
        let [v4, v6] = self.addresses;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// The network devices beside lo.
    pub fn devices(&self) -> &[&'static str] {
        &self.devices
    }

    /// Sets TCP's settings of this host.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub fn tune(&self, options: &TcpOptions) -> Result<()> {
        let TcpOptions {
            receive_buffer,
            send_buffer,
            congestion_control,
        } = options;
        let triple = |[least, default, most]: [u32; 3]| format!("{least} {default} {most}");
        let settings = [
            ("net.ipv4.tcp_rmem", receive_buffer.map(triple)),
            ("net.ipv4.tcp_wmem", send_buffer.map(triple)),
        ];
        for (key, value) in settings {
            if let Some(value) = value {
                self.netns.set_sysctl(key, &value)?;
            }
        }
        match congestion_control {
            Some(name) => congestion::set(&self.netns, name),
            None => Ok(()),
        }
    }

    /// Cuts a device off or joins it again, as a pulled cable would.
    ///
    /// # Errors
    /// When the host has no such device.
    pub fn set_link(&self, device: &str, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        self.netns.ip(&["link", "set", device, state])?;
        Ok(())
    }

    /// Caps what this host sends by `device`, at `rate` bits per second on the wire.
    ///
    /// # Errors
    /// When the host has no such device or it is capped already.
    pub fn cap(&self, device: &str, rate: u64) -> Result<()> {
        link::cap(&self.netns, device, rate)
    }

    fn address(&self, device: &str, subnet: u8, last: u8) -> Result<()> {
        let v4 = format!("{}/24", v4(subnet, last));
        let v6 = format!("{}/64", v6(subnet, last));
        self.netns.ip(&["address", "add", &v4, "dev", device])?;
        self.netns
            .ip(&["address", "add", &v6, "dev", device, "nodad"])?;
        self.netns.ip(&["link", "set", device, "up"])?;
        Ok(())
    }

    /// Sends by the first host of a subnet what is for no subnet of this host.
    fn route_by(&self, subnet: u8) -> Result<()> {
        self.default_route(subnet, 1)
    }

    fn default_route(&self, subnet: u8, last: u8) -> Result<()> {
        let (v4, v6) = (v4(subnet, last).to_string(), v6(subnet, last).to_string());
        self.netns.ip(&["route", "add", "default", "via", &v4])?;
        self.netns
            .ip(&["-6", "route", "add", "default", "via", &v6])?;
        Ok(())
    }

    /// Makes the host a router.
    fn forward(&self) -> Result<()> {
        self.netns.set_sysctl("net.ipv4.ip_forward", "1")?;
        self.netns.set_sysctl("net.ipv6.conf.all.forwarding", "1")
    }
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];
}

fn v4(subnet: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 71, subnet, last)
}

fn v6(subnet: u8, last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd71, u16::from(subnet), 0, 0, 0, 0, 0, u16::from(last))
}
