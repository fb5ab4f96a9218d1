//! The two readings of a socket that the ledger compares with what a plane moved.

use std::os::fd::AsFd;

use crate::sys;
use crate::sys::sockopt;
use crate::sys::tcp_info::TcpInfo;

/// TCP states in which a FIN has been received (`include/net/tcp_states.h`): TIME_WAIT,
/// CLOSE_WAIT, LAST_ACK, CLOSING.
const FIN_RECEIVED: [u8; 4] = [6, 8, 9, 11];

/// How often a reading is tried until no acknowledgement falls between its two halves.
const READ_ATTEMPTS: u32 = 8;

/// Sequence numbers a socket took for sending: payload, and one each for a SYN it dialled with and
/// a FIN. Only differences of two readings mean something, and only while nobody else writes to the
/// socket.
///
/// # Errors
/// When `fd` is not a connected TCP socket.
pub(super) fn bytes_taken(fd: impl AsFd) -> Result<u64, sys::Error> {
    let fd = fd.as_fd();
    let mut acknowledged = TcpInfo::of(fd)?.bytes_acked;
    for _ in 1..READ_ATTEMPTS {
        let queued = sockopt::send_queue(fd)?;
        if queued == 0 {
            // What was in flight is acknowledged by now, and no more can be.
            return Ok(TcpInfo::of(fd)?.bytes_acked);
        }
        let after = TcpInfo::of(fd)?.bytes_acked;
        if after == acknowledged {
            return Ok(acknowledged + queued);
        }
        acknowledged = after;
    }
    Ok(acknowledged + sockopt::send_queue(fd)?)
}

/// Payload bytes received; the FIN counts one in the kernel's figure. `fin_read` tells that the
/// reader met it, which a socket closed since no longer shows.
pub(super) fn payload_received(info: &TcpInfo, fin_read: bool) -> u64 {
    let fin = fin_read || FIN_RECEIVED.contains(&info.state);
    info.bytes_received - u64::from(fin && info.bytes_received > 0)
}
