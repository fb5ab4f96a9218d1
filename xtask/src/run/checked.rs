//! A transfer whose every byte is compared at its end.
//!
//! iperf3 closes its sockets on what is still on its way, so its connections end by a reset and
//! their ledgers cannot say that nothing was lost. This one ends by a FIN in both directions.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bpf_tests::traffic::Pattern;
use rustix::net::sockopt::{self, Timeout};

use super::path::Path;
use super::screen::Screen;
use super::stage::Stage;

/// What each path carries.
pub(super) const BYTES: usize = 256 << 20;
/// A gateway that moves nothing for this long has lost the rest.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Period of the pattern: a prime, so that no buffer's size divides it.
const PERIOD: usize = 1_048_573;
/// Any would do; the same one makes every run alike.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Compares what arrives at one address with what was sent.
pub(super) struct Checker<'a> {
    stage: &'a Stage,
    listener: TcpListener,
    pattern: Vec<u8>,
    bytes: usize,
}

impl<'a> Checker<'a> {
    /// Listens on `address`, which iperf3 has left.
    pub(super) fn bind(stage: &'a Stage, address: SocketAddr) -> Result<Self> {
        let bound = stage.sink().place.enter(|| TcpListener::bind(address))?;
        let listener = bound.with_context(|| format!("cannot listen on {address}"))?;
        // accept(2) heeds it: a gateway may take a connection and not reach its target.
        sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(STALL_TIMEOUT))?;
        Ok(Self {
            stage,
            listener,
            pattern: pattern(),
            bytes: BYTES,
        })
    }

    /// Has every path with gateways carry the pattern.
    pub(super) fn check_all(&self, paths: &mut [Path<'_>], screen: &Screen) -> Result<()> {
        for path in paths {
            let checked = path.check(self, screen);
            checked.map_err(|error| path.explain(error))?;
        }
        Ok(())
    }

    /// Sends the pattern by way of `via`; gives how many bytes did not arrive, or not as they were
    /// sent.
    pub(super) fn lost(&self, via: SocketAddr) -> Result<u64> {
        let dialled = self.stage.dialler().enter(|| TcpStream::connect(via))?;
        let dialled = dialled.with_context(|| format!("cannot reach the gateway at {via}"))?;
        let (accepted, _) = self
            .listener
            .accept()
            .context("the gateway took a connection, and none came to its target")?;
        for socket in [&dialled, &accepted] {
            socket.set_read_timeout(Some(STALL_TIMEOUT))?;
            socket.set_write_timeout(Some(STALL_TIMEOUT))?;
        }
        let (sender, receiver) = if self.stage.listener_sends() {
            (accepted, dialled)
        } else {
            (dialled, accepted)
        };
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| self.send(sender));
            let received = self.compare(receiver);
            let sent = sending
                .join()
                .map_err(|_| anyhow!("the sending thread panicked"))?;
            sent.context("not all of it was taken")?;
            received.context("not all of it was delivered")
        })
    }

    fn send(&self, mut socket: TcpStream) -> io::Result<()> {
        let mut left = self.bytes;
        while left > 0 {
            let part = &self.pattern[..left.min(PERIOD)];
            socket.write_all(part)?;
            left -= part.len();
        }
        socket.shutdown(Shutdown::Write)?;
        // The other direction ends by a FIN too, without a byte.
        socket.read(&mut [0]).map(drop)
    }

    fn compare(&self, mut socket: TcpStream) -> io::Result<u64> {
        let mut buffer = vec![0; 256 << 10];
        let (mut arrived, mut equal) = (0, 0);
        loop {
            let count = socket.read(&mut buffer)?;
            if count == 0 {
                return Ok((self.bytes.max(arrived) - equal.min(self.bytes)) as u64);
            }
            if arrived == equal {
                equal += self.equal_at(arrived, &buffer[..count]);
            }
            arrived += count;
        }
    }

    /// How many bytes at the start of `found` are those of the pattern from `offset` on.
    fn equal_at(&self, offset: usize, found: &[u8]) -> usize {
        let (head, tail) = self.pattern.split_at(offset % PERIOD);
        let (first, second) = found.split_at(found.len().min(tail.len()));
        if tail.starts_with(first) && head.starts_with(second) {
            return found.len();
        }
        let expected = tail.iter().chain(head);
        expected
            .zip(found)
            .take_while(|(expected, found)| expected == found)
            .count()
    }
}

/// One period of bytes that do not repeat within it.
fn pattern() -> Vec<u8> {
    let mut bytes = vec![0; PERIOD];
    Pattern::new(SEED).fill(0, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Demonstration;

    const FEW: usize = (4 << 20) + 3;

    /// What `bend` makes of a connection, as a gateway that is not one.
    fn lost_after(bend: impl FnOnce(&mut Vec<u8>) + Send) -> u64 {
        let stage = Stage::loopback(Demonstration::Forward, "a test");
        let mut checker = Checker::bind(&stage, "127.0.0.1:0".parse().unwrap()).unwrap();
        checker.bytes = FEW;
        let target = checker.listener.local_addr().unwrap();
        let bent = TcpListener::bind("127.0.0.1:0").unwrap();
        let via = bent.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut onward = TcpStream::connect(target).unwrap();
                let (mut sender, _) = bent.accept().unwrap();
                let mut bytes = Vec::new();
                sender.read_to_end(&mut bytes).unwrap();
                bend(&mut bytes);
                onward.write_all(&bytes).unwrap();
            });
            checker.lost(via).unwrap()
        })
    }

    #[test]
    fn bytes_that_arrive_as_sent_are_not_lost() {
        assert_eq!(lost_after(|_| {}), 0);
    }

    #[test]
    fn missing_surplus_and_changed_bytes_are_found() {
        assert_eq!(lost_after(|bytes| bytes.truncate(FEW - 1)), 1);
        assert_eq!(lost_after(|bytes| bytes.extend([0; 9])), 9);
        assert_eq!(lost_after(|bytes| bytes.swap(0, 1)), FEW as u64);
        assert_eq!(lost_after(|bytes| bytes[FEW - 7] ^= 1), 7);
    }

    #[test]
    fn a_gateway_that_does_not_reach_its_target_is_not_waited_for() {
        let stage = Stage::loopback(Demonstration::Forward, "a test");
        let checker = Checker::bind(&stage, "127.0.0.1:0".parse().unwrap()).unwrap();
        let set = sockopt::socket_timeout(&checker.listener, Timeout::Recv).unwrap();
        assert_eq!(set, Some(STALL_TIMEOUT));
        let soon = Some(Duration::from_millis(1));
        sockopt::set_socket_timeout(&checker.listener, Timeout::Recv, soon).unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = checker.lost(silent.local_addr().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the gateway took a connection, and none came to its target"
        );
    }
}
