//! Single TCP segments made by hand, for what a kernel sends only now and then: a segment that
//! repeats bytes which were received already, with new ones behind them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::endpoint::Endpoint;
use super::sys::Sequence;

/// A TCP header without options, in bytes.
const HEADER_BYTES: usize = 20;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// The flags ACK and PSH.
const ACK_PUSH: u8 = 0x18;

/// Sends hand-made segments from the network namespace it was made in; needs CAP_NET_RAW.
pub struct SegmentSource {
    raw: Socket,
}

impl SegmentSource {
    /// Makes one in the namespace of the calling thread.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn new() -> Result<Self> {
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP));
        Ok(Self {
            raw: raw.context("a raw socket; needs CAP_NET_RAW")?,
        })
    }

    /// Sends, in the name of `end`, one segment with its last `repeated` bytes and the next `fresh`
    /// ones. The end itself knows nothing of it: when it sends the fresh bytes, they are old.
    ///
    /// # Errors
    /// When the end is not on IPv4, has bytes that were not acknowledged, or cannot be asked.
    pub fn repeat(&self, end: &Endpoint, repeated: u64, fresh: u64) -> Result<()> {
        ensure!(
            end.unacknowledged()? == 0,
            "bytes under way would make the numbers unknown"
        );
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = end.addresses()? else {
            bail!("hand-made segments are IPv4 only");
        };
        let Sequence {
            send_next,
            receive_next,
        } = end.sequence()?;
        let start = end.sent() - repeated;
        let mut payload = vec![0; usize::try_from(repeated + fresh)?];
        end.outgoing().fill(start, &mut payload);
        let mut segment = Vec::with_capacity(HEADER_BYTES + payload.len());
        segment.extend(from.port().to_be_bytes());
        segment.extend(to.port().to_be_bytes());
        segment.extend(send_next.wrapping_sub(repeated as u32).to_be_bytes());
        segment.extend(receive_next.to_be_bytes());
        segment.extend([(HEADER_BYTES as u8 / 4) << 4, ACK_PUSH]);
        // Window, checksum (below) and urgent pointer.
        segment.extend([0x7f, 0xff, 0, 0, 0, 0]);
        segment.extend(payload);
        let checksum = checksum(*from.ip(), *to.ip(), &segment);
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        self.raw.send_to(&segment, &SocketAddr::V4(to).into())?;
        Ok(())
    }
}

/// TCP's checksum over the pseudo header and a segment whose own checksum is zero.
fn checksum(from: Ipv4Addr, to: Ipv4Addr, segment: &[u8]) -> u16 {
    let length = (segment.len() as u16).to_be_bytes();
    let pseudo = [from.octets().as_slice(), &to.octets(), &[0, TCP], &length].concat();
    let words = pseudo.chunks(2).chain(segment.chunks(2));
    let mut sum: u32 = words
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_with_its_checksum_sums_to_zero() {
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut segment: Vec<u8> = (0..33).collect();
        segment[16..18].copy_from_slice(&[0, 0]);
        let sum = checksum(from, to, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(from, to, &segment), 0);
    }
}
