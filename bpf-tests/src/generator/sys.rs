//! What TCP knows of a stream and std does not ask for.
#![expect(unsafe_code, reason = "neither std nor rustix reads TCP_INFO")]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

/// Segments of `stream` that this host sent again.
pub(super) fn retransmits(stream: &TcpStream) -> io::Result<u64> {
    // SAFETY: tcp_info is a plain C structure for which all zeroes is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let place = std::ptr::from_mut(&mut info).cast();
    let fd = stream.as_raw_fd();
    // SAFETY: `place` points at a writable structure of `length` bytes; the descriptor is open as
    // long as `stream`.
    let answer =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &mut length) };
    if answer == 0 {
        Ok(u64::from(info.tcpi_total_retrans))
    } else {
        Err(io::Error::last_os_error())
    }
}
