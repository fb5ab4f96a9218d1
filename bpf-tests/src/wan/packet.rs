//! What a TUN device hands out: a virtio header that says how the packet is to be segmented, then
//! an IP packet, which may hold dozens of TCP segments.
//!
//! ```text
//!   0        10            10 + headers                                     end
//!   ├─ virtio ┼─ IP and TCP ─┼─ segment 0 ─┼─ segment 1 ─┼ … ┼─ the last one ─┤
//! ```
//!
//! The layout of the virtio header is `struct virtio_net_hdr` of
//! <https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html>, in the host's byte order.

/// Bytes of the virtio header.
pub(super) const VIRTIO_HEADER: usize = 10;

/// What Ethernet adds to an IP packet on the wire, bytes: preamble 8, header 14, checksum 4, gap 12.
pub(super) const ETHERNET_OVERHEAD: usize = 38;

/// Bit of `gso_type`: the sender has ECN on.
const GSO_ECN: u8 = 0x80;
/// `gso_type` of TCP over IPv4.
const GSO_TCP_V4: u8 = 1;
/// `gso_type` of TCP over IPv6.
const GSO_TCP_V6: u8 = 4;

const GSO_TYPE: usize = 1;
const GSO_SIZE: usize = 4;
const CHECKSUM_START: usize = 6;

/// How a packet falls into segments.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// Bytes of the IP and TCP headers, which every segment has; 0 when there is one segment.
    pub(super) headers: usize,
    /// Bytes of payload in every segment but the last, which may have fewer.
    pub(super) segment: usize,
    /// How many segments, at least 1.
    pub(super) segments: usize,
    /// Bytes of the IP packet as it was handed out.
    pub(super) bytes: usize,
}

impl Shape {
    /// The shape of a packet with its virtio header. What is no TCP packet to be segmented counts
    /// as one segment.
    pub(super) fn read(packet: &[u8]) -> Self {
        let bytes = packet.len().saturating_sub(VIRTIO_HEADER);
        Self::read_large(packet).unwrap_or(Self {
            headers: 0,
            segment: bytes,
            segments: 1,
            bytes,
        })
    }

    fn read_large(packet: &[u8]) -> Option<Self> {
        let gso_type = packet.get(GSO_TYPE)? & !GSO_ECN;
        if gso_type != GSO_TCP_V4 && gso_type != GSO_TCP_V6 {
            return None;
        }
        let segment = usize::from(half_word(packet, GSO_SIZE)?);
        let tcp = usize::from(half_word(packet, CHECKSUM_START)?);
        let ip = packet.get(VIRTIO_HEADER..)?;
        // The upper half of byte 12 is the length of the TCP header in words of four bytes.
        let headers = tcp + usize::from(ip.get(tcp + 12)? >> 4) * 4;
        let payload = ip.len().checked_sub(headers)?;
        (segment > 0 && payload > segment).then(|| Self {
            headers,
            segment,
            segments: payload.div_ceil(segment),
            bytes: ip.len(),
        })
    }

    /// Bytes on an Ethernet wire once every segment is a packet of its own.
    pub(super) fn wire_bytes(&self) -> usize {
        let repeated = self.headers * (self.segments - 1);
        self.bytes + repeated + ETHERNET_OVERHEAD * self.segments
    }

    /// The shape of a packet of so many full segments.
    #[cfg(test)]
    pub(super) fn of_segments(headers: usize, segment: usize, segments: usize) -> Self {
        Self {
            headers,
            segment,
            segments,
            bytes: headers + segment * segments,
        }
    }
}

/// The two bytes at `at`, in the host's order.
fn half_word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_without_segmentation_is_one_segment() {
        let shape = Shape::read(&[0; VIRTIO_HEADER + 1500]);
        assert_eq!((shape.segments, shape.bytes), (1, 1500));
        assert_eq!(shape.wire_bytes(), 1538);
    }

    #[test]
    fn every_segment_has_headers_and_framing_on_the_wire() {
        let shape = Shape::of_segments(52, 1448, 44);
        assert_eq!(shape.wire_bytes(), 44 * 1538);
    }

    #[test]
    fn what_is_too_short_for_its_own_words_is_one_segment() {
        for length in 0..VIRTIO_HEADER + 60 {
            let mut packet = vec![0xff; length];
            if let Some(gso_type) = packet.get_mut(GSO_TYPE) {
                *gso_type = GSO_TCP_V4;
            }
            assert_eq!(Shape::read(&packet).segments, 1, "{length}");
        }
    }
}
