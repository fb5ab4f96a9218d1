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

/// What a capped link may send at once, in seconds of its rate. A CPU that is busy elsewhere for
/// longer costs throughput: with 0.8 ms a loaded machine of two CPUs gave 4.4 Gb/s of 5, with 5 ms
/// it gave all.
const BURST_SECONDS: f64 = 0.005;
/// The least burst, bytes: two of the largest packets before segmentation.
const LEAST_BURST: u64 = 131_072;

/// Caps what `host` sends by `device`, at `rate` bits per second.
pub(super) fn cap(host: &Netns, device: &str, rate: u64) -> Result<()> {
    let burst = (rate as f64 / 8.0 * BURST_SECONDS) as u64;
    let burst = burst.max(LEAST_BURST).to_string();
    let rate = format!("{rate}bit");
    // A queue of 10 ms: TCP feels it fill before it drops.
    let bucket = ["tbf", "rate", &rate, "burst", &burst, "latency", "10ms"];
    let add = ["tc", "qdisc", "add", "dev", device, "root"];
    host.run(&[add.as_slice(), &bucket].concat())?;
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
