//! Takes single segments out of a packet that holds many: what is left becomes as few packets as
//! it takes, each as the kernel would have made it.
//!
//! ```text
//!   ┌──┬──┬──┬──┬──┬──┐   lost: 2      ┌──┬──┐    ┌──┬──┬──┐
//!   │0 │1 │2 │3 │4 │5 │  ───────────►  │0 │1 │    │3 │4 │5 │
//!   └──┴──┴──┴──┴──┴──┘                └──┴──┘    └──┴──┴──┘
//! ```
//!
//! What changes in the headers: lengths, IPv4's identification and checksum, TCP's sequence
//! number, the flags that belong to the first or the last segment only, and the start value of
//! TCP's checksum, which whoever finally sends the segments completes.

use std::ops::Range;

use super::packet::{Shape, VIRTIO_HEADER};

/// Bytes 1 to 5 of the virtio header are about segmentation: type, header length, size.
const GSO_TYPE: usize = 1;
const GSO_SIZE: usize = 4;
const CHECKSUM_START: usize = 6;

const FIN: u8 = 0x01;
const PUSH: u8 = 0x08;
const WINDOW_REDUCED: u8 = 0x80;

const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const TCP_PROTOCOL: u32 = 6;

/// What is left of `packet` (virtio header first) without the segments in `lost`, which ascend.
pub(super) fn without(packet: &[u8], shape: &Shape, lost: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::with_capacity(lost.len() + 1);
    let mut first = 0;
    for &missing in lost.iter().chain([&shape.segments]) {
        if first < missing {
            pieces.extend(piece(packet, shape, first..missing));
        }
        first = missing + 1;
    }
    pieces
}

/// The packet of a run of segments; `None` when the headers do not hold what they promise.
fn piece(packet: &[u8], shape: &Shape, run: Range<usize>) -> Option<Vec<u8>> {
    let Shape {
        headers,
        segment,
        segments,
        bytes: _,
    } = *shape;
    let (head, payload) = packet.split_at_checked(VIRTIO_HEADER + headers)?;
    let end = (run.end * segment).min(payload.len());
    let mut piece = [head, payload.get(run.start * segment..end)?].concat();

    let (virtio, ip) = piece.split_at_mut(VIRTIO_HEADER);
    let tcp_at = usize::from(u16::from_ne_bytes([
        virtio[CHECKSUM_START],
        virtio[CHECKSUM_START + 1],
    ]));
    if run.len() == 1 {
        virtio[GSO_TYPE] = 0;
        virtio[GSO_SIZE..GSO_SIZE + 2].fill(0);
    }
    let pseudo = readdress(ip, tcp_at, run.start)?;
    let tcp = ip.get_mut(tcp_at..)?;
    let sequence = word(tcp, TCP_SEQUENCE)?.wrapping_add((run.start * segment) as u32);
    tcp.get_mut(TCP_SEQUENCE..TCP_SEQUENCE + 4)?
        .copy_from_slice(&sequence.to_be_bytes());
    if run.end < segments {
        tcp[TCP_FLAGS] &= !(FIN | PUSH);
    }
    if run.start > 0 {
        tcp[TCP_FLAGS] &= !WINDOW_REDUCED;
    }
    tcp.get_mut(TCP_CHECKSUM..TCP_CHECKSUM + 2)?
        .copy_from_slice(&fold(pseudo).to_be_bytes());
    Some(piece)
}

/// Gives the IP header its new length, and IPv4's its identification and checksum; answers the sum
/// over the pseudo-header that TCP's checksum begins with.
fn readdress(ip: &mut [u8], tcp_at: usize, first: usize) -> Option<u32> {
    let tcp_length = (ip.len() - tcp_at.min(ip.len())) as u32;
    if ip.first()? >> 4 == 6 {
        ip.get_mut(4..6)?
            .copy_from_slice(&(tcp_length as u16).to_be_bytes());
        return Some(sum(ip.get(8..40)?) + TCP_PROTOCOL + tcp_length);
    }
    let total = ip.len() as u16;
    ip.get_mut(2..4)?.copy_from_slice(&total.to_be_bytes());
    let identification = u16::from_be_bytes([ip[4], *ip.get(5)?]).wrapping_add(first as u16);
    ip[4..6].copy_from_slice(&identification.to_be_bytes());
    ip.get_mut(10..12)?.fill(0);
    let checksum = !fold(sum(ip.get(..tcp_at)?));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    Some(sum(ip.get(12..20)?) + TCP_PROTOCOL + tcp_length)
}

/// The sum of big-endian half words, as of RFC 1071; `bytes` are of even length.
fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum()
}

/// Adds the carries until none is left.
fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of five segments of 100 bytes and one of 20, IPv4 or IPv6, with PSH, FIN and CWR.
    fn large(v6: bool) -> (Vec<u8>, Shape) {
        let ip_header = if v6 { 40 } else { 20 };
        let mut packet = vec![0; VIRTIO_HEADER + ip_header + 32];
        packet.extend((0..520).map(|n| n as u8));
        let ip_length = packet.len() - VIRTIO_HEADER;
        packet[0] = 1;
        packet[GSO_TYPE] = if v6 { 4 } else { 1 };
        packet[GSO_SIZE..6].copy_from_slice(&100_u16.to_ne_bytes());
        packet[6..8].copy_from_slice(&(ip_header as u16).to_ne_bytes());
        packet[8..10].copy_from_slice(&16_u16.to_ne_bytes());
        let ip = &mut packet[VIRTIO_HEADER..];
        if v6 {
            ip[0] = 0x60;
            ip[4..6].copy_from_slice(&((ip_length - 40) as u16).to_be_bytes());
            (8..40).for_each(|at| ip[at] = at as u8);
        } else {
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&(ip_length as u16).to_be_bytes());
            ip[4..6].copy_from_slice(&0xffff_u16.to_be_bytes());
            ip[9] = 6;
            ip[12..20].copy_from_slice(&[10, 71, 1, 2, 10, 71, 2, 2]);
        }
        let tcp = &mut ip[ip_header..];
        tcp[4..8].copy_from_slice(&0xffff_ff00_u32.to_be_bytes());
        tcp[12] = 8 << 4;
        tcp[TCP_FLAGS] = 0x10 | FIN | PUSH | WINDOW_REDUCED;
        let shape = Shape::read(&packet);
        assert_eq!((shape.segments, shape.segment), (6, 100));
        (packet, shape)
    }

    fn payload(piece: &[u8], shape: &Shape) -> Vec<u8> {
        piece[VIRTIO_HEADER + shape.headers..].to_vec()
    }

    #[test]
    fn what_is_left_is_every_other_segment_in_order() {
        for v6 in [false, true] {
            let (packet, shape) = large(v6);
            let whole = payload(&packet, &shape);
            for lost in [vec![0], vec![5], vec![2], vec![0, 2, 5], vec![1, 2, 3, 4]] {
                let pieces = without(&packet, &shape, &lost);
                let left: Vec<u8> = pieces
                    .iter()
                    .flat_map(|piece| payload(piece, &shape))
                    .collect();
                let expected: Vec<u8> = whole
                    .chunks(100)
                    .enumerate()
                    .filter(|(index, _)| !lost.contains(index))
                    .flat_map(|(_, chunk)| chunk.to_vec())
                    .collect();
                assert_eq!(left, expected, "{lost:?}");
            }
        }
    }

    #[test]
    fn a_run_keeps_its_segmentation_and_a_single_segment_has_none() {
        let (packet, shape) = large(false);
        let pieces = without(&packet, &shape, &[1]);
        assert_eq!(Shape::read(&pieces[0]).segments, 1);
        assert_eq!(pieces[0][GSO_TYPE], 0);
        assert_eq!(Shape::read(&pieces[1]).segments, 4);
    }

    #[test]
    fn sequence_numbers_and_identifications_count_from_the_first_segment() {
        let (packet, shape) = large(false);
        let pieces = without(&packet, &shape, &[2]);
        let sequence = |piece: &[u8]| word(piece, VIRTIO_HEADER + 20 + 4);
        assert_eq!(sequence(&pieces[0]), Some(0xffff_ff00));
        assert_eq!(
            sequence(&pieces[1]),
            Some(0xffff_ff00_u32.wrapping_add(300))
        );
        let identification = &pieces[1][VIRTIO_HEADER + 4..VIRTIO_HEADER + 6];
        assert_eq!(identification, 2_u16.to_be_bytes());
    }

    #[test]
    fn flags_stay_with_the_segment_they_belong_to() {
        let (packet, shape) = large(true);
        let pieces = without(&packet, &shape, &[2]);
        let flags = |piece: &[u8]| piece[VIRTIO_HEADER + 40 + TCP_FLAGS];
        assert_eq!(flags(&pieces[0]), 0x10 | WINDOW_REDUCED);
        assert_eq!(flags(&pieces[1]), 0x10 | FIN | PUSH);
    }

    #[test]
    fn lengths_and_checksums_are_right() {
        let (packet, shape) = large(false);
        for piece in without(&packet, &shape, &[3]) {
            let ip = &piece[VIRTIO_HEADER..];
            assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), ip.len());
            assert_eq!(fold(sum(&ip[..20])), 0xffff, "the header's own checksum");
            let pseudo = sum(&ip[12..20]) + TCP_PROTOCOL + (ip.len() - 20) as u32;
            let start = u16::from_be_bytes([ip[36], ip[37]]);
            assert_eq!(start, fold(pseudo));
        }
        let (packet, shape) = large(true);
        for piece in without(&packet, &shape, &[0]) {
            let ip = &piece[VIRTIO_HEADER..];
            assert_eq!(
                usize::from(u16::from_be_bytes([ip[4], ip[5]])),
                ip.len() - 40
            );
        }
    }

    #[test]
    fn nonsense_headers_give_nothing_and_no_panic() {
        let (packet, shape) = large(false);
        for length in 0..packet.len() {
            without(&packet[..length], &shape, &[1]);
        }
    }
}
