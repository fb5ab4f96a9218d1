//! What the queues of a socket hold.
#![expect(
    unsafe_code,
    reason = "rustix has no typed ioctl for the send queue of a socket"
)]

use std::ffi::c_int;
use std::net::TcpStream;

use rustix::io::{Result, ioctl_fionread};
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ` is the same request as `TIOCOUTQ`.
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;

/// Bytes written that the peer has not acknowledged.
pub(super) fn unacknowledged(stream: &TcpStream) -> Result<u64> {
    // SAFETY: SIOCOUTQ on a TCP socket stores one C int and reads nothing.
    let request = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the request's type is the one that SIOCOUTQ has, as said above.
    let bytes = unsafe { ioctl(stream, request) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Bytes received that have not been read.
pub(super) fn unread(stream: &TcpStream) -> Result<u64> {
    ioctl_fionread(stream)
}
