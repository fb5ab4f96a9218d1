//! Trials of kernel facilities on a loopback connection: what a version number only promises.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use crate::dataplane::congestion::FOR_LOSSES;
use crate::sys;
use crate::sys::sockopt;

/// How long one step of a trial may take on a busy host.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the trials send.
const MESSAGE: &[u8] = b"through the pipe";

/// Why a facility is not to be relied on.
#[derive(Debug, thiserror::Error)]
pub enum FacilityError {
    /// The trial's own connection failed.
    #[error("no loopback connection to try it on: {0}")]
    Loopback(#[from] io::Error),
    /// A call of the facility failed.
    #[error(transparent)]
    Call(#[from] sys::Error),
    /// The bytes that came out are not those that went in.
    #[error("{got} of {sent} bytes came out, or other ones")]
    Corrupt {
        /// Bytes sent.
        sent: usize,
        /// Bytes received.
        got: usize,
    },
    /// The kernel does not list the TLS upper-layer protocol.
    #[error("no tls in net.ipv4.tcp_available_ulp")]
    NoTls,
}

/// Moves bytes from a socket to another through a pipe.
///
/// # Errors
/// When they do not come out as they went in.
pub fn splice_works() -> Result<(), FacilityError> {
    let (mut source, ingress) = connected()?;
    let (egress, mut sink) = connected()?;
    let (pipe_out, pipe_in) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| sys::Error::new("pipe2", errno))?;

    source.write_all(MESSAGE)?;
    let flags = SpliceFlags::MOVE;
    let mut moved = 0;
    while moved < MESSAGE.len() {
        let taken = splice(&ingress, None, &pipe_in, None, MESSAGE.len() - moved, flags)
            .map_err(|errno| sys::Error::new("splice(socket to pipe)", errno))?;
        let mut left = taken;
        while left > 0 {
            left -= splice(&pipe_out, None, &egress, None, left, flags)
                .map_err(|errno| sys::Error::new("splice(pipe to socket)", errno))?;
        }
        if taken == 0 {
            break;
        }
        moved += taken;
    }
    drop(egress);
    let mut came_out = Vec::new();
    sink.read_to_end(&mut came_out)?;
    if came_out != MESSAGE {
        return Err(FacilityError::Corrupt {
            sent: MESSAGE.len(),
            got: came_out.len(),
        });
    }
    Ok(())
}

/// Puts the TLS upper-layer protocol on a socket; keys are not set.
///
/// # Errors
/// When the kernel has none, or refuses.
pub(super) fn ktls_works() -> Result<(), FacilityError> {
    let (socket, _peer) = connected()?;
    // The attempt comes first: it makes the kernel load the module where there is one.
    match sockopt::set_upper_layer(&socket, "tls") {
        Ok(()) => Ok(()),
        Err(refused) => {
            // Only the host's own network namespace has this file.
            let list = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp");
            let available = list.unwrap_or_default();
            if available.split_whitespace().any(|name| name == "tls") {
                Err(refused.into())
            } else {
                Err(FacilityError::NoTls)
            }
        }
    }
}

/// Gives a socket the congestion control that streams get which lose packets on long paths.
///
/// # Errors
/// When the kernel has none of that name, or keeps it from this process.
pub(super) fn congestion_control_works() -> Result<(), FacilityError> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(sockopt::set_congestion_control(&socket, FOR_LOSSES)?)
}

/// A loopback connection whose calls end in time.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let dialled = TcpStream::connect_timeout(&address, TRIAL_TIMEOUT)?;
    let (accepted, _) = listener.accept()?;
    for stream in [&dialled, &accepted] {
        stream.set_read_timeout(Some(TRIAL_TIMEOUT))?;
        stream.set_write_timeout(Some(TRIAL_TIMEOUT))?;
    }
    Ok((dialled, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splice_moves_bytes_on_any_linux() {
        splice_works().unwrap();
    }

    #[test]
    fn ktls_works_or_says_why_not() {
        if let Err(error) = ktls_works() {
            assert!(
                matches!(error, FacilityError::NoTls | FacilityError::Call(_)),
                "{error}"
            );
        }
    }
}
