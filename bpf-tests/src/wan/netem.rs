//! A line by the kernel's netem, where there is one: in the guests of `cargo xtask vm`.
//!
//! Each gateway's device holds what it sends for half of the round trip. A queue that is full is one
//! of the sending host itself, whose TCP is told instead of losing packets. Loss falls on whole packets,
//! as large as the device takes them: without offloads they are segments.

use anyhow::{Context as _, Result, ensure};

use super::WanOptions;
use crate::netns::Netns;

/// Packets that one device may hold where no rate bounds them: 144 ms at 10 Gb/s in segments of
/// 1,500 bytes are 60,000 each way.
const UNBOUNDED: u64 = 200_000;

/// What `tc` says of a queueing discipline that the kernel does not have.
const UNKNOWN: &str = "qdisc kind is unknown";

/// Who holds the packets back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Maker {
    /// The kernel's netem, on a veth pair.
    Netem,
    /// Threads of this process, between two TUN devices: on any kernel, and with counters.
    #[default]
    Threads,
}

impl Maker {
    /// Netem where this kernel has it.
    ///
    /// # Errors
    /// Without root or `tc`, or when netem is refused for another reason than that there is none.
    pub fn of_this_kernel() -> Result<Self> {
        let host = Netns::new("netem")?;
        let tried = add(&host, "lo", &["delay", "1us"]);
        match tried {
            Ok(()) => Ok(Self::Netem),
            Err(error) if format!("{error:#}").contains(UNKNOWN) => Ok(Self::Threads),
            Err(error) => Err(error.context("cannot tell whether this kernel has netem")),
        }
    }
}

/// Has `device` of `host` hold what it sends, as `line` says; packets have up to `mtu` bytes.
///
/// # Errors
/// When the kernel has no netem, or the line is to do what netem does differently.
pub(crate) fn hold(host: &Netns, device: &str, (line, mtu): (&WanOptions, u32)) -> Result<()> {
    ensure!(
        line.jitter.is_zero() && line.reorder == 0.0,
        "netem reorders with its jitter; lines with jitter or reordering are the lab's own"
    );
    let delay = format!("{}us", line.rtt.as_micros() / 2);
    let loss = format!("{}%", line.loss * 100.0);
    let limit = packets(line, mtu).to_string();
    let mut words = vec!["limit", &limit, "delay", &delay];
    if line.loss > 0.0 {
        words.extend(["loss", &loss]);
    }
    let rate = line.rate.map(|rate| format!("{rate}bit"));
    if let Some(rate) = &rate {
        words.extend(["rate", rate]);
    }
    add(host, device, &words).with_context(|| format!("netem on {device} of {}", host.name()))
}

/// What the device may hold: what is under way, and the queue before the line.
fn packets(line: &WanOptions, mtu: u32) -> u64 {
    let Some(rate) = line.rate else {
        return UNBOUNDED;
    };
    let seconds = line.rtt.as_secs_f64() / 2.0 + line.queue.as_secs_f64();
    (rate as f64 / 8.0 * seconds / f64::from(mtu)).ceil() as u64
}

fn add(host: &Netns, device: &str, netem: &[&str]) -> Result<()> {
    let tc = ["tc", "qdisc", "add", "dev", device, "root", "netem"];
    host.run(&[tc.as_slice(), netem].concat()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_device_holds_what_is_under_way_and_the_queue() {
        let line = WanOptions {
            rate: Some(100_000_000),
            queue: Duration::from_millis(40),
            ..WanOptions::new(Duration::from_millis(40))
        };
        assert_eq!(packets(&line, 1_500), 500);
        assert_eq!(
            packets(&WanOptions { rate: None, ..line }, 1_500),
            UNBOUNDED
        );
    }
}
