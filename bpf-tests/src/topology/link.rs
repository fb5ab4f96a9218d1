//! One link: a veth pair between two namespaces, and how it behaves.

use anyhow::{Context as _, Result};

use crate::netns::Netns;

/// How the links of a topology behave.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// Bytes of one IP packet: 1500 or 9000.
    pub mtu: u32,
    /// Whether segmentation and receive aggregation are left to the device (TSO, GSO, GRO). Off
    /// makes every packet cross the link by itself.
    pub offloads: bool,
    /// Bits per second, on the wire, of the producer's link, each way; `None` is as fast as the
    /// CPU goes.
    pub rate: Option<u64>,
    /// Receive packet steering on every device: a flow's packets are received on one CPU, whatever
    /// CPU they were sent on. Without it veth reorders when a sender moves between CPUs.
    pub steering: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            offloads: true,
            rate: None,
            steering: false,
        }
    }
}

/// Joins two namespaces by a veth pair, made inside them: its names clash with nobody's.
pub(super) fn join(left: &Netns, device: &str, right: &Netns, peer: &str) -> Result<()> {
    let near = ["link", "add", device, "type", "veth"];
    let far = ["peer", "name", peer, "netns", right.name()];
    left.ip(&[near.as_slice(), far.as_slice()].concat())?;
    Ok(())
}

/// Gives one end of a link everything of `options` but the rate.
pub(super) fn shape(host: &Netns, device: &str, options: &LinkOptions) -> Result<()> {
    let LinkOptions {
        mtu,
        offloads,
        rate: _,
        steering,
    } = options;
    host.ip(&["link", "set", device, "mtu", &mtu.to_string()])?;
    if !offloads {
        let off = ["tso", "off", "gso", "off", "gro", "off"];
        host.run(&[["ethtool", "-K", device].as_slice(), &off].concat())?;
    }
    if *steering {
        let path = format!("/sys/class/net/{device}/queues/rx-0/rps_cpus");
        host.write_sysfs(&path, &all_cpus()?)?;
    }
    Ok(())
}

/// Caps what `host` sends by `device`.
pub(super) fn cap(host: &Netns, device: &str, rate: u64) -> Result<()> {
    let rate = format!("{rate}bit");
    // The burst holds several of TSO's largest packets; the queue is far below a send buffer's
    // worth, so that TCP feels the cap and not the queue.
    let bucket = ["tbf", "rate", &rate, "burst", "512kb", "latency", "10ms"];
    host.run(
        &[
            ["tc", "qdisc", "add", "dev", device, "root"].as_slice(),
            &bucket,
        ]
        .concat(),
    )?;
    Ok(())
}

/// The mask of all CPUs, as sysfs takes it: groups of 32, the highest first.
fn all_cpus() -> Result<String> {
    let count = std::thread::available_parallelism().context("cannot count the CPUs")?;
    let count = count.get();
    let full = std::iter::repeat_n("ffffffff".to_owned(), count / 32);
    let rest = (count % 32 != 0).then(|| format!("{:x}", (1_u64 << (count % 32)) - 1));
    Ok(rest.into_iter().chain(full).collect::<Vec<_>>().join(","))
}
