//! `TCP_INFO`: what the kernel knows about one TCP connection.
#![expect(unsafe_code, reason = "getsockopt(TCP_INFO) has no safe wrapper")]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use crate::sys::Error;

/// `struct tcp_info` of `<linux/tcp.h>`, up to what Linux 5.4 knows, in the kernel's layout and
/// under its names without the `tcpi_` prefix. A field that a kernel does not know reads 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpInfo {
    /// The TCP state as the kernel numbers it; see [`TcpInfo::is_established`].
    pub state: u8,
    /// Congestion state: 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss.
    pub ca_state: u8,
    /// Consecutive retransmission time-outs of the oldest segment.
    pub retransmits: u8,
    /// Unanswered window or keepalive probes.
    pub probes: u8,
    /// Exponent of the retransmission back-off.
    pub backoff: u8,
    /// Negotiated options as bits (`TCPI_OPT_*`).
    pub options: u8,
    /// Window scales, sent in the low nibble and received in the high one.
    pub wscales: u8,
    /// Flags of delivery rate and TCP fast open.
    pub flags: u8,
    /// Retransmission time-out, µs.
    pub rto: u32,
    /// Delayed-ACK time-out, µs.
    pub ato: u32,
    /// Maximum segment size sent, bytes.
    pub snd_mss: u32,
    /// Maximum segment size received, bytes.
    pub rcv_mss: u32,
    /// Segments in flight.
    pub unacked: u32,
    /// Segments the peer holds out of order.
    pub sacked: u32,
    /// Segments thought lost.
    pub lost: u32,
    /// Retransmitted segments in flight.
    pub retrans: u32,
    /// Unused by current kernels.
    pub fackets: u32,
    /// Since data was last sent, ms.
    pub last_data_sent: u32,
    /// Unused by the kernel.
    pub last_ack_sent: u32,
    /// Since data last arrived, ms.
    pub last_data_recv: u32,
    /// Since an ACK last arrived, ms.
    pub last_ack_recv: u32,
    /// Path MTU, bytes.
    pub pmtu: u32,
    /// Receive window threshold, bytes.
    pub rcv_ssthresh: u32,
    /// Smoothed round trip, µs.
    pub rtt: u32,
    /// Its variation, µs.
    pub rttvar: u32,
    /// Slow-start threshold, segments.
    pub snd_ssthresh: u32,
    /// Congestion window, segments.
    pub snd_cwnd: u32,
    /// Advertised maximum segment size, bytes.
    pub advmss: u32,
    /// Reordering seen, segments.
    pub reordering: u32,
    /// Receiver's estimate of the round trip, µs.
    pub rcv_rtt: u32,
    /// Receive buffer auto-tuning target, bytes.
    pub rcv_space: u32,
    /// Segments retransmitted over the connection's life.
    pub total_retrans: u32,
    /// Pacing rate, bytes per second.
    pub pacing_rate: u64,
    /// Its ceiling, bytes per second.
    pub max_pacing_rate: u64,
    /// Bytes the peer acknowledged; the SYN counts 1 on the side that dialled, a FIN counts 1.
    pub bytes_acked: u64,
    /// Bytes received in order; a FIN counts 1.
    pub bytes_received: u64,
    /// Segments sent.
    pub segs_out: u32,
    /// Segments received.
    pub segs_in: u32,
    /// Bytes in the send queue that were never sent.
    pub notsent_bytes: u32,
    /// Least round trip seen, µs.
    pub min_rtt: u32,
    /// Segments received that carried data.
    pub data_segs_in: u32,
    /// Segments sent that carried data.
    pub data_segs_out: u32,
    /// Most recent delivery rate, bytes per second.
    pub delivery_rate: u64,
    /// Time with data outstanding, µs.
    pub busy_time: u64,
    /// Of it, limited by the peer's window, µs.
    pub rwnd_limited: u64,
    /// Of it, limited by the send buffer, µs.
    pub sndbuf_limited: u64,
    /// Segments delivered.
    pub delivered: u32,
    /// Of them, marked by ECN.
    pub delivered_ce: u32,
    /// Bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Bytes retransmitted.
    pub bytes_retrans: u64,
    /// Duplicate SACKs received: retransmissions that were not needed.
    pub dsack_dups: u32,
    /// Reordering events seen.
    pub reord_seen: u32,
    /// Segments received out of order.
    pub rcv_ooopack: u32,
    /// The peer's window, bytes.
    pub snd_wnd: u32,
}

/// The kernel's number of the ESTABLISHED state (`include/net/tcp_states.h`).
const TCP_ESTABLISHED: u8 = 1;

impl TcpInfo {
    /// Reads the counters of a TCP socket.
    ///
    /// # Errors
    /// When `fd` is not a TCP socket.
    pub fn of(fd: impl AsFd) -> Result<Self, Error> {
        let mut info = MaybeUninit::<Self>::zeroed();
        let mut length = size_of::<Self>() as libc::socklen_t;
        // SAFETY: `info` is `length` bytes of writable memory for the duration of the call, and the
        // kernel writes at most `length` bytes of it.
        let status = unsafe {
            libc::getsockopt(
                fd.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if status < 0 {
            return Err(Error::last("getsockopt(TCP_INFO)"));
        }
        // SAFETY: every field is an integer, and the memory was zeroed before the kernel wrote a
        // prefix of it, so all of it is initialised.
        Ok(unsafe { info.assume_init() })
    }

    /// Whether both directions are open.
    pub fn is_established(&self) -> bool {
        self.state == TCP_ESTABLISHED
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::mem::offset_of;
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    #[test]
    fn layout_is_the_kernels() {
        assert_eq!(offset_of!(TcpInfo, pacing_rate), 104);
        assert_eq!(offset_of!(TcpInfo, bytes_acked), 120);
        assert_eq!(offset_of!(TcpInfo, bytes_sent), 200);
        assert_eq!(size_of::<TcpInfo>(), 232);
    }

    #[test]
    fn counters_follow_the_bytes_and_the_fin() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(TcpInfo::of(&dialled).unwrap().bytes_acked, 1);
        assert!(TcpInfo::of(&dialled).unwrap().is_established());

        dialled.write_all(&[7; 1000]).unwrap();
        dialled.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        accepted.read_to_end(&mut got).unwrap();

        assert_eq!(got.len(), 1000);
        assert_eq!(TcpInfo::of(&accepted).unwrap().bytes_received, 1001);
        assert_eq!(TcpInfo::of(&dialled).unwrap().bytes_sent, 1000);
        assert!(!TcpInfo::of(&accepted).unwrap().is_established());
    }

    #[test]
    fn a_file_has_no_tcp_info() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert_eq!(TcpInfo::of(&file).unwrap_err().call, "getsockopt(TCP_INFO)");
    }
}
