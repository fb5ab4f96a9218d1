//! Binding: every address of every `--listen`, all or none.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::options::SocketOptions;
use super::targets::{ResolveError, resolve};
use crate::cli::HostPort;
use crate::sys;

/// Connections the kernel may hold until we accept them; it takes at most net.core.somaxconn.
const BACKLOG: i32 = 65_535;

/// A bound socket that listens.
#[derive(Debug)]
pub struct Listener {
    /// The socket, non-blocking.
    pub socket: TcpListener,
    /// Where it listens; a port asked for as 0 is the real one here.
    pub address: SocketAddr,
}

/// Why a listener could not be had; each displays with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has the address.
    #[error(
        "cannot listen on {0}: the port is in use; stop what holds it (see `ss -ltnp`) or choose another"
    )]
    InUse(SocketAddr),
    /// None of our addresses.
    #[error(
        "cannot listen on {0}: this host has no such address; choose one that `ip address` shows"
    )]
    NotOurs(SocketAddr),
    /// A privileged port.
    #[error(
        "cannot listen on {0}: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, so grant it or choose a higher one"
    )]
    NotPermitted(SocketAddr),
    /// Anything else the kernel refused.
    #[error("cannot listen on {address}: {call} failed with {cause}; check the address")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// The call.
        call: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A host name without an address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

/// Binds every address of every specification and listens. A name may have addresses that this host
/// lacks (::1 where IPv6 is off), as long as one can be bound.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind_all(specs: &[HostPort], options: &SocketOptions) -> Result<Vec<Listener>, BindError> {
    let mut listeners = Vec::new();
    for spec in specs {
        let before = listeners.len();
        let mut missing = None;
        for address in resolve("--listen", spec)? {
            match bind(address, options) {
                Ok(listener) => listeners.push(listener),
                Err(error @ BindError::NotOurs(_)) if spec.literal().is_none() => {
                    missing = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = missing {
            if listeners.len() == before {
                return Err(error);
            }
            tracing::debug!(%error, "an address of a name is left out");
        }
    }
    warn_of_clamped_buffers(&listeners, options);
    Ok(listeners)
}

/// Binds one address and listens.
///
/// # Errors
/// When it cannot be had.
pub fn bind(address: SocketAddr, options: &SocketOptions) -> Result<Listener, BindError> {
    let explain = |error: sys::Error| explain(address, error);
    let socket = listening_socket(address, options).map_err(explain)?;
    let socket = TcpListener::from(socket);
    let address = socket
        .local_addr()
        .map_err(|error| explain(sys::Error::new("getsockname", error)))?;
    Ok(Listener { socket, address })
}

fn listening_socket(address: SocketAddr, options: &SocketOptions) -> Result<OwnedFd, sys::Error> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
        .map_err(|errno| sys::Error::new("socket", errno))?;
    sockopt::set_socket_reuseaddr(&socket, true)
        .map_err(|errno| sys::Error::new("setsockopt(SO_REUSEADDR)", errno))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be bound side by side, whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, true)
            .map_err(|errno| sys::Error::new("setsockopt(IPV6_V6ONLY)", errno))?;
    }
    options.apply(socket.as_fd())?;
    rustix::net::bind(&socket, &address).map_err(|errno| sys::Error::new("bind", errno))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|errno| sys::Error::new("listen", errno))?;
    Ok(socket)
}

fn explain(address: SocketAddr, error: sys::Error) -> BindError {
    let sys::Error { call, source } = error;
    match Errno::from_io_error(&source) {
        Some(Errno::ADDRINUSE) => BindError::InUse(address),
        Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => BindError::NotOurs(address),
        Some(Errno::ACCESS | Errno::PERM) => BindError::NotPermitted(address),
        Some(_) | None => BindError::Refused {
            address,
            call,
            cause: source,
        },
    }
}

/// All sockets are treated alike, so one tells for all.
fn warn_of_clamped_buffers(listeners: &[Listener], options: &SocketOptions) {
    let Some(listener) = listeners.first() else {
        return;
    };
    for (option, asked, granted) in options.clamped(listener.socket.as_fd()).unwrap_or_default() {
        tracing::warn!(
            option,
            asked,
            granted,
            "the kernel grants a smaller buffer; raise net.core.rmem_max and wmem_max, or grant CAP_NET_ADMIN"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(specs: &[&str]) -> Result<Vec<Listener>, BindError> {
        let specs: Vec<HostPort> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
        bind_all(&specs, &SocketOptions::default())
    }

    #[test]
    fn port_0_becomes_a_real_port() {
        let listeners = bound(&["127.0.0.1:0", "[::1]:0"]).unwrap();
        assert_eq!(listeners.len(), 2);
        assert!(
            listeners
                .iter()
                .all(|listener| listener.address.port() != 0)
        );
    }

    #[test]
    fn both_wildcards_share_a_port() {
        let first = bound(&["0.0.0.0:0"]).unwrap();
        let port = first[0].address.port();
        let second = bound(&[&format!("[::]:{port}")]).unwrap();
        assert_eq!(second[0].address.port(), port);
    }

    #[test]
    fn a_name_is_bound_on_its_addresses() {
        let listeners = bound(&["localhost:0"]).unwrap();
        assert!(!listeners.is_empty());
        assert!(
            listeners
                .iter()
                .all(|listener| listener.address.ip().is_loopback())
        );
    }

    #[test]
    fn a_port_in_use_and_an_address_of_others_are_told_apart() {
        let holder = bound(&["127.0.0.1:0"]).unwrap();
        let error = bound(&[&holder[0].address.to_string()]).unwrap_err();
        assert!(matches!(error, BindError::InUse(_)), "{error}");
        let error = bound(&["192.0.2.1:0"]).unwrap_err();
        assert!(matches!(error, BindError::NotOurs(_)), "{error}");
    }
}
