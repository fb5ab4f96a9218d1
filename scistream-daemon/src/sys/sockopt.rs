//! Socket options and queue lengths that std and tokio leave out.
#![expect(
    unsafe_code,
    reason = "SIOCOUTQ, SO_RCVLOWAT, SO_MAX_PACING_RATE and TCP_ULP have no safe wrapper"
)]

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::net::sockopt;

use crate::sys::Error;

/// Bytes in the send queue that the peer has not acknowledged (`SIOCOUTQ`); a FIN that was sent
/// and not acknowledged counts 1.
///
/// # Errors
/// When `fd` is not a connected TCP socket.
pub fn send_queue(fd: impl AsFd) -> Result<u64, Error> {
    let mut queued: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int to the pointer, which is that
    // of a live local.
    let status = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) };
    if status < 0 {
        return Err(Error::last("ioctl(SIOCOUTQ)"));
    }
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// Bytes in the receive queue that nobody has read (`SIOCINQ`).
///
/// # Errors
/// When `fd` is not a connected TCP socket.
pub fn receive_queue(fd: impl AsFd) -> Result<u64, Error> {
    rustix::io::ioctl_fionread(fd).map_err(|errno| Error::new("ioctl(SIOCINQ)", errno))
}

/// Lets a close of this socket end in a FIN after what is queued, as it does by default.
///
/// # Errors
/// When `fd` is not a socket.
pub fn clear_linger(fd: impl AsFd) -> Result<(), Error> {
    sockopt::set_socket_linger(fd, None).map_err(|errno| Error::new("setsockopt(SO_LINGER)", errno))
}

/// Makes every close of this socket a reset, also when the process dies: `SO_LINGER {1, 0}`.
///
/// # Errors
/// When `fd` is not a socket.
pub fn set_linger_zero(fd: impl AsFd) -> Result<(), Error> {
    sockopt::set_socket_linger(fd, Some(Duration::ZERO))
        .map_err(|errno| Error::new("setsockopt(SO_LINGER)", errno))
}

/// The kernel's unique number of this socket (`SO_COOKIE`), the same that eBPF programs see.
///
/// # Errors
/// When `fd` is not a socket.
pub fn socket_cookie(fd: impl AsFd) -> Result<u64, Error> {
    sockopt::socket_cookie(fd).map_err(|errno| Error::new("getsockopt(SO_COOKIE)", errno))
}

/// The CPU whose softirq last received for this socket (`SO_INCOMING_CPU`); `None` before the
/// first packet.
///
/// # Errors
/// When `fd` is not a socket.
pub fn incoming_cpu(fd: impl AsFd) -> Result<Option<u32>, Error> {
    let cpu = sockopt::socket_incoming_cpu(fd)
        .map_err(|errno| Error::new("getsockopt(SO_INCOMING_CPU)", errno))?;
    Ok((i32::try_from(cpu).is_ok()).then_some(cpu))
}

/// Sets how many bytes make the socket readable (`SO_RCVLOWAT`). Setting it also makes the kernel
/// look at the receive queue again, which hands early bytes to a sockmap verdict.
///
/// # Errors
/// When `fd` is not a socket.
pub fn set_receive_low_water(fd: impl AsFd, bytes: i32) -> Result<(), Error> {
    // SAFETY: the pointer and the length describe the local `bytes`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(Error::last("setsockopt(SO_RCVLOWAT)"));
    }
    Ok(())
}

/// Holds a TCP socket to a rate of sending, bytes per second of payload; `None` lifts it. TCP paces
/// itself, so no queueing discipline is needed.
///
/// # Errors
/// When `fd` is not a socket.
pub fn set_max_pacing_rate(fd: impl AsFd, rate: Option<u64>) -> Result<(), Error> {
    // The kernel takes all ones for no limit.
    let rate = rate.unwrap_or(u64::MAX);
    // SAFETY: the pointer and the length describe the local `rate`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw const rate).cast(),
            size_of::<u64>() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(Error::last("setsockopt(SO_MAX_PACING_RATE)"));
    }
    Ok(())
}

/// The rate that [`set_max_pacing_rate`] set.
///
/// # Errors
/// When `fd` is not a socket.
pub fn max_pacing_rate(fd: impl AsFd) -> Result<Option<u64>, Error> {
    let mut rate = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to the local `rate`, which outlives the call.
    let status = unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw mut rate).cast(),
            &raw mut length,
        )
    };
    if status < 0 {
        return Err(Error::last("getsockopt(SO_MAX_PACING_RATE)"));
    }
    Ok((rate != u64::MAX).then_some(rate))
}

/// Gives a TCP socket another congestion control (`TCP_CONGESTION`), also while it sends. The kernel
/// loads its module where it can.
///
/// # Errors
/// When the kernel has none of that name, or keeps it to `CAP_NET_ADMIN`.
pub fn set_congestion_control(fd: impl AsFd, name: &str) -> Result<(), Error> {
    sockopt::set_tcp_congestion(fd, name)
        .map_err(|errno| Error::new("setsockopt(TCP_CONGESTION)", errno))
}

/// Has urgent data read in line with the other bytes (`SO_OOBINLINE`), so that none is skipped.
///
/// # Errors
/// When `fd` is not a socket.
pub fn set_oob_inline(fd: impl AsFd) -> Result<(), Error> {
    sockopt::set_socket_oobinline(fd, true)
        .map_err(|errno| Error::new("setsockopt(SO_OOBINLINE)", errno))
}

/// Puts an upper-layer protocol on a connected TCP socket (`TCP_ULP`), such as `tls`.
///
/// # Errors
/// When the kernel has no such protocol, or the socket cannot take it.
pub fn set_upper_layer(fd: impl AsFd, name: &str) -> Result<(), Error> {
    // SAFETY: the pointer and the length are those of `name`, which outlives the call.
    let status = unsafe {
        libc::setsockopt(
            fd.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_ULP,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    };
    if status < 0 {
        return Err(Error::last("setsockopt(TCP_ULP)"));
    }
    Ok(())
}

/// Takes and clears the socket's pending error (`SO_ERROR`).
///
/// # Errors
/// When `fd` is not a socket.
pub fn take_error(fd: impl AsFd) -> Result<Option<std::io::Error>, Error> {
    sockopt::socket_error(fd)
        .map(|pending| pending.err().map(Into::into))
        .map_err(|errno| Error::new("getsockopt(SO_ERROR)", errno))
}

/// Which of the two buffers of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Buffer {
    /// `SO_RCVBUF`.
    Receive,
    /// `SO_SNDBUF`.
    Send,
}

/// Sets a buffer size, past `net.core.{r,w}mem_max` where this process may (`SO_*BUFFORCE`).
/// Returns the size granted in the same unit, bytes of payload as asked for: the kernel keeps and
/// reports twice of it for its own book-keeping.
///
/// # Errors
/// When `fd` is not a socket.
pub fn set_buffer(fd: impl AsFd, buffer: Buffer, bytes: usize) -> Result<usize, Error> {
    let fd = fd.as_fd();
    let (forced, call) = match buffer {
        Buffer::Receive => (
            sockopt::set_socket_recv_buffer_size_force(fd, bytes),
            "setsockopt(SO_RCVBUF)",
        ),
        Buffer::Send => (
            sockopt::set_socket_send_buffer_size_force(fd, bytes),
            "setsockopt(SO_SNDBUF)",
        ),
    };
    if forced.is_err() {
        let plain = match buffer {
            Buffer::Receive => sockopt::set_socket_recv_buffer_size(fd, bytes),
            Buffer::Send => sockopt::set_socket_send_buffer_size(fd, bytes),
        };
        plain.map_err(|errno| Error::new(call, errno))?;
    }
    let granted = match buffer {
        Buffer::Receive => sockopt::socket_recv_buffer_size(fd),
        Buffer::Send => sockopt::socket_send_buffer_size(fd),
    };
    Ok(granted.map_err(|errno| Error::new(call, errno))? / 2)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        (dialled, accepted)
    }

    #[test]
    fn unread_bytes_are_in_the_receive_queue_and_read_ones_in_neither() {
        let (mut dialled, mut accepted) = connected();
        dialled.write_all(&[1; 500]).unwrap();
        accepted.peek(&mut [0; 1]).unwrap();
        assert_eq!(receive_queue(&accepted).unwrap(), 500);
        accepted.read_exact(&mut [0; 500]).unwrap();
        assert_eq!(receive_queue(&accepted).unwrap(), 0);
        assert_eq!(send_queue(&dialled).unwrap(), 0);
    }

    #[test]
    fn bytes_beyond_the_readers_window_are_in_the_send_queue() {
        let (mut dialled, _accepted) = connected();
        dialled.set_nonblocking(true).unwrap();
        let block = [0; 65_536];
        let error = loop {
            if let Err(error) = dialled.write(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(send_queue(&dialled).unwrap() > 0);
    }

    #[test]
    fn closing_after_linger_zero_resets_the_peer() {
        let (dialled, mut accepted) = connected();
        set_linger_zero(&dialled).unwrap();
        drop(dialled);
        let error = accepted.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_pacing_rate_beyond_32_bits_is_kept_and_lifted() {
        let (dialled, _accepted) = connected();
        assert_eq!(max_pacing_rate(&dialled).unwrap(), None);
        for rate in [Some(100_000), Some(12_500_000_000), None] {
            set_max_pacing_rate(&dialled, rate).unwrap();
            assert_eq!(max_pacing_rate(&dialled).unwrap(), rate);
        }
    }

    #[test]
    fn cookies_differ_from_socket_to_socket() {
        let (dialled, accepted) = connected();
        let cookie = socket_cookie(&dialled).unwrap();
        assert_ne!(cookie, 0);
        assert_eq!(cookie, socket_cookie(&dialled).unwrap());
        assert_ne!(cookie, socket_cookie(&accepted).unwrap());
    }

    #[test]
    fn a_small_buffer_is_granted_as_asked() {
        let (dialled, _accepted) = connected();
        for buffer in [Buffer::Receive, Buffer::Send] {
            assert_eq!(set_buffer(&dialled, buffer, 65_536).unwrap(), 65_536);
        }
    }

    #[test]
    fn low_water_is_accepted_and_the_incoming_cpu_is_one_of_ours() {
        let (mut dialled, mut accepted) = connected();
        dialled.write_all(&[1]).unwrap();
        accepted.read_exact(&mut [0; 1]).unwrap();
        set_receive_low_water(&accepted, 1).unwrap();
        assert!(
            incoming_cpu(&accepted)
                .unwrap()
                .is_some_and(|cpu| cpu < 8192)
        );
        assert!(take_error(&accepted).unwrap().is_none());
    }
}
