//! The hosts of a network, and a subject on each of its gateways.
//!
//! ```text
//!   one gateway     producer ── [relay] ── consumer
//!                   producer ── [tunnel's near end] ══ [far end] consumer
//!   two gateways    producer ── [relay] ── WAN ── [relay] ── consumer
//!                   producer ── [tunnel's near end] ══ WAN ══ [far end] ── consumer
//!   direct          producer ── routed ── WAN ── routed ── consumer
//! ```

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use bpf_tests::netns::Netns;
use bpf_tests::topology::{
    Family, Host, LinkOptions, Published, TcpOptions, Topology, TwoGateways, TwoOptions,
};
use bpf_tests::wan::WanOptions;

use super::net::Net;
use super::process_tree::ProcessTree;
use super::relay::{Relay, Spot, Workshop};
use super::scene::{Regime, Setting};
use super::subject::{Maker, Subject};

/// Bits per second of the line in the link-bound regime: low enough that all hosts together leave
/// two cores mostly idle, with any subject that does not encrypt.
pub(super) const LINK_RATE: u64 = 1_000_000_000;

/// Round trips that the queue before a capped line holds.
const QUEUE_TRIPS: f64 = 1.5;

/// Bytes of a packet, as on FABRIC.
const MTU: u32 = 9_000;

/// The most bytes of a socket's buffers, on every host: what fills [`LINK_RATE`], and three times
/// that, over the longest path. All hosts have it, so direct is as well tuned as a relay. A capped
/// line has its own limit for what is received ([`fits`]).
const BUFFER: u32 = 128 << 20;

/// The most bytes of a socket's receive and send buffers where nobody has set anything: what
/// `tcp_init` of Linux chooses on a host with 1 GiB of memory or more.
const INSTALLED: (u32, u32) = (6 << 20, 4 << 20);

/// Congestion control of every host: what hosts have when nobody has touched them. A relay may do
/// better for its own sockets.
const CONTROL: &str = "cubic";

/// What a network is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ground {
    pub(super) regime: Regime,
    pub(super) net: Net,
    pub(super) setting: Setting,
    /// Decides what is lost.
    pub(super) seed: u64,
}

/// Hosts and links.
#[derive(Debug)]
pub(super) enum Site {
    /// Producer, gateway, consumer.
    One(Box<Topology>),
    /// Producer, two gateways, consumer.
    Two(Box<TwoGateways>),
}

/// A subject on every gateway. Ends when dropped.
#[derive(Debug)]
pub(super) struct Chain {
    address: SocketAddr,
    /// From the producer's side to the consumer's.
    relays: Vec<Relay>,
}

impl Site {
    /// Makes the network.
    ///
    /// Errors without root or the tools that make namespaces.
    pub(super) fn make(ground: &Ground) -> Result<Self> {
        let lan = LinkOptions {
            mtu: MTU,
            steering: true,
            ..LinkOptions::default()
        };
        let rate = (ground.regime == Regime::LinkBound).then_some(LINK_RATE);
        let mut window = BUFFER;
        let site = match published(ground.net) {
            None => Self::One(Box::new(Topology::one(&LinkOptions { rate, ..lan })?)),
            Some(path) => {
                let mut options = TwoOptions {
                    lan,
                    ..path.options()
                };
                options.wan = line(options.wan, rate);
                if let Setting::Lossy { ppm } = ground.setting {
                    options.wan.loss = f64::from(ppm) / 1e6;
                } else {
                    window = fits(&options.wan).unwrap_or(BUFFER).min(BUFFER);
                }
                options.wan.seed = ground.seed;
                Self::Two(Box::new(TwoGateways::new(&options)?))
            }
        };
        site.tune(ground.setting, window)?;
        Ok(site)
    }

    /// Where data come from.
    pub(super) fn producer(&self) -> &Netns {
        match self {
            Self::One(one) => one.producer.netns(),
            Self::Two(two) => two.producer.netns(),
        }
    }

    /// Where data go.
    pub(super) fn consumer(&self) -> &Host {
        match self {
            Self::One(one) => &one.consumer,
            Self::Two(two) => &two.consumer,
        }
    }

    /// The consumer's address.
    pub(super) fn consumer_ip(&self) -> IpAddr {
        self.consumer().ip(Family::V4)
    }

    /// All hosts, from producer to consumer.
    pub(super) fn hosts(&self) -> Vec<&Host> {
        match self {
            Self::One(one) => one.hosts().to_vec(),
            Self::Two(two) => two.hosts().to_vec(),
        }
    }

    /// The hosts that relay, from the producer's side to the consumer's.
    fn gateways(&self) -> Vec<&Host> {
        let hosts = self.hosts();
        let inner = hosts.get(1..hosts.len() - 1);
        inner.unwrap_or_default().to_vec()
    }

    fn tune(&self, setting: Setting, window: u32) -> Result<()> {
        let options = |most_received, most_sent| TcpOptions {
            receive_buffer: Some([4_096, 131_072, most_received]),
            send_buffer: Some([4_096, 65_536, most_sent]),
            congestion_control: Some(CONTROL.to_owned()),
        };
        let hosts = self.hosts();
        for (at, host) in hosts.iter().enumerate() {
            let is_end = at == 0 || at + 1 == hosts.len();
            host.tune(&match setting {
                Setting::AsInstalled if is_end => options(INSTALLED.0, INSTALLED.1),
                Setting::AsInstalled | Setting::Tuned | Setting::Lossy { .. } => {
                    options(window, BUFFER)
                }
            })?;
            // A load that pauses between two sizes is not to start anew.
            host.netns()
                .set_sysctl("net.ipv4.tcp_slow_start_after_idle", "0")?;
        }
        Ok(())
    }
}

/// `wan`, capped, behind its queue.
fn line(wan: WanOptions, rate: Option<u64>) -> WanOptions {
    WanOptions {
        rate,
        queue: wan.queue.max(wan.rtt.mul_f64(QUEUE_TRIPS)),
        ..wan
    }
}

/// Bytes that a capped line and the queue before it hold, as the size of receive buffers. Linux
/// offers the sender about half of one (`TCP_DEFAULT_SCALING_RATIO`), more where packets are full,
/// and never all: with [`QUEUE_TRIPS`] a stream fills the line and cannot overflow the queue. With
/// larger ones streams did so once, after seconds, and for a second or more told of nothing else.
/// Not by the send buffer: a sender that waits for room in it, and not for its window, puts each
/// small message into a packet of its own.
fn fits(wan: &WanOptions) -> Option<u32> {
    let bytes = wan.rate? as f64 / 8.0 * (wan.rtt + wan.queue).as_secs_f64();
    Some(bytes as u32)
}

/// How hosts and links are set, for the report.
pub(super) fn settings() -> Vec<String> {
    vec![
        format!(
            "MTU {MTU} as on FABRIC, segmentation left to the devices, receive packet steering on every veth so that a sender that changes cores does not reorder."
        ),
        format!(
            "Link-bound: the line between the gateways (with one gateway, the producer's link) is capped at {} Gb/s, behind a queue of {QUEUE_TRIPS} round trips (20 ms at least). CPU-bound: nothing is capped.",
            LINK_RATE as f64 / 1e9
        ),
        format!(
            "Buffers of up to {} MiB on every host, receive buffers before a capped line what it and its queue hold (except with losses), and {CONTROL} (*endpoints as installed*: 6 MiB to receive and 4 MiB to send on producer and consumer, Linux's own maxima). No slow start after idle.",
            BUFFER >> 20
        ),
        "Direct (no proxy): the gateways route, nobody relays. With two gateways every relay runs on both; stunnel and ssh have an end on each, and with one gateway the far end on the consumer.".to_owned(),
        "Every sample has namespaces of its own; within each repeat the order of networks, and of subjects on each, is drawn from the seed.".to_owned(),
    ]
}

fn published(net: Net) -> Option<Published> {
    match net {
        Net::One => None,
        Net::Lan => Some(Published::Lan),
        Net::Metro => Some(Published::Metro),
        Net::ShortWan => Some(Published::ShortWan),
        Net::Wan => Some(Published::Wan),
        Net::LongWan => Some(Published::LongWan),
    }
}

impl Chain {
    /// Starts `subject` on every gateway of `site`, before `target`.
    ///
    /// Errors when one of them does not start.
    pub(super) fn start(
        workshop: &Workshop,
        subject: Subject,
        site: &Site,
        target: SocketAddr,
    ) -> Result<Self> {
        let gateways: Vec<Spot<'_>> = site.gateways().into_iter().map(spot).collect();
        let consumer = spot(site.consumer());
        let mut chain = Self {
            address: target,
            relays: Vec::new(),
        };
        let Some((&first, rest)) = gateways.split_first() else {
            return Ok(chain);
        };
        match subject.maker() {
            Maker::Nobody => {}
            Maker::Tunnel(_) => {
                let far = rest.last().copied().unwrap_or(consumer);
                chain.push(workshop.start(subject, (first, far), target)?);
            }
            Maker::Ours(_) | Maker::Peer(_) => {
                // Backwards: each dials the one behind it.
                for &gateway in gateways.iter().rev() {
                    let before = chain.address;
                    chain.push(workshop.start(subject, (gateway, consumer), before)?);
                }
            }
        }
        Ok(chain)
    }

    fn push(&mut self, relay: Relay) {
        self.address = relay.address();
        self.relays.insert(0, relay);
    }

    /// What the producer dials.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All processes of the relays.
    pub(super) fn processes(&self) -> Vec<ProcessTree> {
        self.relays.iter().flat_map(Relay::processes).collect()
    }

    /// Ends the relays. Of our own: the share of the bytes that the first one's sockmap
    /// redirected.
    ///
    /// Errors when one of our own does not end cleanly or lost count of a byte.
    pub(super) fn finish(self) -> Result<Option<f64>> {
        let mut first = None;
        for relay in self.relays {
            let share = relay.finish()?;
            first = first.or(share);
        }
        Ok(first)
    }
}

fn spot(host: &Host) -> Spot<'_> {
    Spot {
        netns: host.netns(),
        address: host.ip(Family::V4),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_window_fills_the_line_and_never_overflows_its_queue() {
        for path in Published::ALL {
            let wan = line(path.options().wan, Some(LINK_RATE));
            let receive = f64::from(fits(&wan).unwrap());
            let of = |time: Duration| LINK_RATE as f64 / 8.0 * time.as_secs_f64();
            assert!(receive / 2.0 >= of(wan.rtt), "{path:?}");
            assert!(receive <= of(wan.rtt) + of(wan.queue), "{path:?}");
            assert!(receive < f64::from(BUFFER), "{path:?}");
        }
    }

    #[test]
    fn an_uncapped_line_limits_nobody() {
        assert_eq!(fits(&line(Published::Wan.options().wan, None)), None);
    }
}
