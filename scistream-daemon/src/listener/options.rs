//! The socket options of both legs. On a listener they are set before `listen`, and the accepted
//! sockets inherit them: no system call per connection.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;

use crate::sys;
use crate::sys::sockopt::{Buffer, set_buffer, set_linger_zero};

/// How often the kernel asks a silent peer before it gives the connection up.
const KEEPALIVE_PROBES: u32 = 6;

/// Options of every socket that carries a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketOptions {
    /// Silence after which the kernel asks whether the peer lives; `None` for never.
    pub keepalive: Option<Duration>,
    /// Receive buffer, bytes; the kernel tunes it when `None`.
    pub receive_buffer: Option<usize>,
    /// Send buffer, bytes; the kernel tunes it when `None`.
    pub send_buffer: Option<usize>,
}

impl SocketOptions {
    /// Sets them. Must come before `listen` and `connect`, which settle the window scale from the
    /// buffers.
    ///
    /// # Errors
    /// When the kernel refuses one; a smaller buffer than asked for is no error.
    pub(super) fn apply(&self, socket: BorrowedFd<'_>) -> Result<(), sys::Error> {
        let Self {
            keepalive,
            receive_buffer,
            send_buffer,
        } = *self;
        sockopt::set_tcp_nodelay(socket, true)
            .map_err(|errno| sys::Error::new("setsockopt(TCP_NODELAY)", errno))?;
        // Until a plane has delivered everything, any close is a reset, be it the kernel's after the
        // process was killed: what was cut short must not look complete.
        set_linger_zero(socket)?;
        if let Some(idle) = keepalive {
            set_keepalive(socket, idle)?;
        }
        if let Some(bytes) = receive_buffer {
            set_buffer(socket, Buffer::Receive, bytes)?;
        }
        if let Some(bytes) = send_buffer {
            set_buffer(socket, Buffer::Send, bytes)?;
        }
        Ok(())
    }

    /// The buffers of which the kernel grants less than asked for, tried on `socket`: (option,
    /// asked, granted).
    pub(super) fn clamped(
        &self,
        socket: BorrowedFd<'_>,
    ) -> Result<Vec<(&'static str, usize, usize)>, sys::Error> {
        let mut clamped = Vec::new();
        for (option, buffer, asked) in [
            ("--rcvbuf", Buffer::Receive, self.receive_buffer),
            ("--sndbuf", Buffer::Send, self.send_buffer),
        ] {
            let Some(asked) = asked else { continue };
            let granted = set_buffer(socket, buffer, asked)?;
            if granted < asked {
                clamped.push((option, asked, granted));
            }
        }
        Ok(clamped)
    }
}

fn set_keepalive(socket: BorrowedFd<'_>, idle: Duration) -> Result<(), sys::Error> {
    let interval = Duration::from_secs((idle.as_secs() / u64::from(KEEPALIVE_PROBES)).max(1));
    sockopt::set_socket_keepalive(socket, true)
        .and_then(|()| sockopt::set_tcp_keepidle(socket, idle))
        .and_then(|()| sockopt::set_tcp_keepintvl(socket, interval))
        .and_then(|()| sockopt::set_tcp_keepcnt(socket, KEEPALIVE_PROBES))
        .map_err(|errno| sys::Error::new("setsockopt(SO_KEEPALIVE)", errno))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn accepted_sockets_inherit_what_the_listener_was_given() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = SocketOptions {
            keepalive: Some(Duration::from_secs(30)),
            receive_buffer: Some(100_000),
            send_buffer: Some(200_000),
        };
        options.apply(listener.as_fd()).unwrap();
        let _dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(
            sockopt::tcp_keepidle(&accepted).unwrap(),
            Duration::from_secs(30)
        );
        assert_eq!(
            sockopt::tcp_keepintvl(&accepted).unwrap(),
            Duration::from_secs(5)
        );
        assert_eq!(
            sockopt::socket_recv_buffer_size(&accepted).unwrap(),
            200_000
        );
        assert_eq!(
            sockopt::socket_send_buffer_size(&accepted).unwrap(),
            400_000
        );
    }

    #[test]
    fn a_granted_buffer_is_not_clamped() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = SocketOptions {
            receive_buffer: Some(65_536),
            ..SocketOptions::default()
        };
        assert_eq!(options.clamped(listener.as_fd()).unwrap(), []);
    }
}
