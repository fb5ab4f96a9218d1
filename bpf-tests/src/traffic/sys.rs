//! What a socket knows and only the kernel can say: the bytes in its queues, its sequence numbers.
#![expect(
    unsafe_code,
    reason = "rustix has neither a typed ioctl for the send queue nor TCP_REPAIR"
)]

use std::ffi::c_int;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

use rustix::io::ioctl_fionread;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ` is the same request as `TIOCOUTQ`.
const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;
/// `TCP_REPAIR`'s value that ends it without a window probe, of `include/uapi/linux/tcp.h`.
const TCP_REPAIR_OFF_NO_WP: c_int = -1;
/// `TCP_RECV_QUEUE` of `include/uapi/linux/tcp.h`.
const TCP_RECV_QUEUE: c_int = 1;
/// `TCP_SEND_QUEUE` of `include/uapi/linux/tcp.h`.
const TCP_SEND_QUEUE: c_int = 2;

/// The sequence numbers of an idle connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    /// Of the next byte to be sent.
    pub(super) send_next: u32,
    /// Of the next byte to be received.
    pub(super) receive_next: u32,
}

/// Bytes written that the peer has not acknowledged.
pub(super) fn unacknowledged(stream: &TcpStream) -> rustix::io::Result<u64> {
    // SAFETY: SIOCOUTQ on a TCP socket stores one C int and reads nothing.
    let request = unsafe { Getter::<SIOCOUTQ, c_int>::new() };
    // SAFETY: the request's type is the one that SIOCOUTQ has, as said above.
    let bytes = unsafe { ioctl(stream, request) }?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Bytes received that have not been read.
pub(super) fn unread(stream: &TcpStream) -> rustix::io::Result<u64> {
    ioctl_fionread(stream)
}

/// The socket's sequence numbers; needs CAP_NET_ADMIN.
pub(super) fn sequence(stream: &TcpStream) -> io::Result<Sequence> {
    set_option(stream, libc::TCP_REPAIR, 1)?;
    let numbers = [TCP_SEND_QUEUE, TCP_RECV_QUEUE].map(|queue| {
        set_option(stream, libc::TCP_REPAIR_QUEUE, queue)?;
        option(stream, libc::TCP_QUEUE_SEQ)
    });
    set_option(stream, libc::TCP_REPAIR, TCP_REPAIR_OFF_NO_WP)?;
    let [send_next, receive_next] = numbers;
    Ok(Sequence {
        send_next: send_next?.cast_unsigned(),
        receive_next: receive_next?.cast_unsigned(),
    })
}

fn set_option(stream: &TcpStream, name: c_int, value: c_int) -> io::Result<()> {
    let (fd, length) = (stream.as_raw_fd(), size_of::<c_int>() as libc::socklen_t);
    let value = std::ptr::from_ref(&value).cast();
    // SAFETY: `value` points at one readable C int and `length` is its size; the descriptor is open
    // as long as `stream`.
    let answer = unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, name, value, length) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn option(stream: &TcpStream, name: c_int) -> io::Result<c_int> {
    let (fd, mut length) = (stream.as_raw_fd(), size_of::<c_int>() as libc::socklen_t);
    let mut value: c_int = 0;
    let place = std::ptr::from_mut(&mut value).cast();
    // SAFETY: `place` points at one writable C int and `length` is its size; the descriptor is open
    // as long as `stream`.
    let answer = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, name, place, &mut length) };
    if answer == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
