//! Segments that hosts sent again because they took them for lost.
//!
//! Tail loss probes (RFC 8985, section 7) are left out: a producer whose gateway takes nothing for a
//! while, because the line behind it is full, sends one in each such while, and nothing is lost.

use std::fs;

use anyhow::{Context as _, Result};
use bpf_tests::topology::Host;

/// What the hosts of a network have counted so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Retransmits {
    sent_again: u64,
    probes: u64,
}

impl Retransmits {
    /// Asks the kernel on behalf of each host.
    ///
    /// Errors where it does not count.
    pub(super) fn of(hosts: &[&Host]) -> Result<Self> {
        let mut sum = Self::default();
        for host in hosts {
            sum.sent_again += read(host, "snmp", ("Tcp:", "RetransSegs"))?;
            sum.probes += read(host, "netstat", ("TcpExt:", "TCPLossProbes"))?;
        }
        Ok(sum)
    }

    /// Segments sent again since `before`. A probe may also carry what was not sent yet.
    pub(super) fn since(self, before: Self) -> u64 {
        let sent_again = self.sent_again.saturating_sub(before.sent_again);
        let probes = self.probes.saturating_sub(before.probes);
        sent_again.saturating_sub(probes)
    }
}

fn read(host: &Host, file: &str, (group, name): (&str, &str)) -> Result<u64> {
    let path = format!("/proc/thread-self/net/{file}");
    let text = host.netns().enter(|| fs::read_to_string(&path))?;
    let text = text.with_context(|| format!("cannot read {path}"))?;
    counter(&text, group, name).with_context(|| format!("{path} has no {name}"))
}

/// A counter by the names of its group's columns.
fn counter(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let at = lines.next()?.split(' ').position(|column| column == name)?;
    lines.next()?.split(' ').nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 3\n";
        assert_eq!(counter(text, "Tcp:", "RetransSegs"), Some(17));
        assert_eq!(
            counter("Tcp: RtoMin\nTcp: 1\n", "Tcp:", "RetransSegs"),
            None
        );
    }

    #[test]
    fn probes_are_no_losses_and_never_less_than_none() {
        let count = |sent_again, probes| Retransmits { sent_again, probes };
        assert_eq!(count(310, 305).since(count(10, 5)), 0);
        assert_eq!(count(310, 25).since(count(10, 5)), 280);
        assert_eq!(count(12, 25).since(count(10, 5)), 0);
    }
}
