//! The targets in their ring, with the addresses their names have.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::cli::HostPort;

/// A name is asked for again at most this often, however many connections fail.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(1);

/// A host name that has no address.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve {spec} of {option}: {cause}; check the name, or give an IP address")]
pub struct ResolveError {
    /// The option it was given to.
    pub option: &'static str,
    /// What was given.
    pub spec: HostPort,
    /// What the resolver answered.
    pub cause: io::Error,
}

/// Every address of a host, in the resolver's order and without repetitions.
///
/// # Errors
/// When there is none.
pub(super) fn resolve(
    option: &'static str,
    spec: &HostPort,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Some(address) = spec.literal() {
        return Ok(vec![address]);
    }
    let failed = |cause| ResolveError {
        option,
        spec: spec.clone(),
        cause,
    };
    let found = (spec.host(), spec.port())
        .to_socket_addrs()
        .map_err(failed)?;
    let addresses = distinct(found);
    if addresses.is_empty() {
        return Err(failed(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

async fn look_up(option: &'static str, spec: &HostPort) -> Result<Vec<SocketAddr>, ResolveError> {
    let failed = |cause| ResolveError {
        option,
        spec: spec.clone(),
        cause,
    };
    let found = tokio::net::lookup_host((spec.host(), spec.port())).await;
    let addresses = distinct(found.map_err(failed)?);
    if addresses.is_empty() {
        return Err(failed(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

fn distinct(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}

/// The targets; connections take them in turn.
#[derive(Debug)]
pub struct Targets {
    ring: Vec<Target>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Target {
    spec: HostPort,
    addresses: RwLock<Arc<[SocketAddr]>>,
    resolved_at: Mutex<Option<Instant>>,
}

impl Targets {
    /// Resolves every target once.
    ///
    /// # Errors
    /// The first target without an address.
    pub fn resolve(specs: &[HostPort]) -> Result<Self, ResolveError> {
        let ring = specs
            .iter()
            .map(|spec| {
                Ok(Target {
                    spec: spec.clone(),
                    addresses: RwLock::new(resolve("--target", spec)?.into()),
                    resolved_at: Mutex::new(None),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            ring,
            turn: AtomicUsize::new(0),
        })
    }

    /// Resolves every target once, without holding up the caller's thread.
    ///
    /// # Errors
    /// The first target without an address.
    pub async fn look_up(option: &'static str, specs: &[HostPort]) -> Result<Self, ResolveError> {
        let mut ring = Vec::with_capacity(specs.len());
        for spec in specs {
            let addresses = match spec.literal() {
                Some(address) => vec![address],
                None => look_up(option, spec).await?,
            };
            ring.push(Target {
                spec: spec.clone(),
                addresses: RwLock::new(addresses.into()),
                resolved_at: Mutex::new(None),
            });
        }
        Ok(Self {
            ring,
            turn: AtomicUsize::new(0),
        })
    }

    /// Every address there is now.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        distinct(
            self.ring
                .iter()
                .flat_map(|target| target.addresses().to_vec()),
        )
    }

    /// The next connection's place in the ring.
    pub(super) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The address a turn tries first.
    pub(super) fn first(&self, turn: usize) -> Option<SocketAddr> {
        let target = self.ring.get(turn % self.ring.len().max(1))?;
        target.addresses().first().copied()
    }

    /// All addresses a turn may try, in order: its own target's, then those of the targets after it.
    pub(super) fn candidates(&self, turn: usize) -> Vec<SocketAddr> {
        let start = turn % self.ring.len().max(1);
        let (before, from_start) = self.ring.split_at(start);
        distinct(
            from_start
                .iter()
                .chain(before)
                .flat_map(|target| target.addresses().to_vec()),
        )
    }

    /// Asks the resolver again for every target that is a name.
    pub(super) async fn resolve_again(&self) {
        for target in &self.ring {
            target.resolve_again().await;
        }
    }
}

impl Target {
    fn addresses(&self) -> Arc<[SocketAddr]> {
        let addresses = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&addresses)
    }

    async fn resolve_again(&self) {
        if self.spec.literal().is_some() {
            return;
        }
        let mut resolved_at = self.resolved_at.lock().await;
        if resolved_at.is_some_and(|at| at.elapsed() < RESOLVE_INTERVAL) {
            return;
        }
        let found = tokio::net::lookup_host((self.spec.host(), self.spec.port())).await;
        *resolved_at = Some(Instant::now());
        match found.map(distinct) {
            Ok(addresses) if !addresses.is_empty() => {
                *self
                    .addresses
                    .write()
                    .unwrap_or_else(PoisonError::into_inner) = addresses.into();
            }
            Ok(_) => tracing::debug!(target = %self.spec, "the name has no address any more"),
            Err(error) => tracing::debug!(target = %self.spec, %error, "the name was not resolved"),
        }
    }
}

#[cfg(test)]
impl Targets {
    /// Replaces what the resolver said of the first target.
    pub(super) fn pretend_resolved(&self, address: SocketAddr) {
        *self.ring[0].addresses.write().unwrap() = Arc::from([address]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(specs: &[&str]) -> Targets {
        let specs: Vec<HostPort> = specs.iter().map(|spec| spec.parse().unwrap()).collect();
        Targets::resolve(&specs).unwrap()
    }

    #[test]
    fn turns_go_round_the_ring_and_each_may_fall_back_on_the_others() {
        let targets = targets(&["10.0.0.1:1", "10.0.0.2:2", "[::1]:3"]);
        let ports = |turn| -> Vec<u16> {
            let candidates = targets.candidates(turn);
            candidates.iter().map(SocketAddr::port).collect()
        };
        assert_eq!(ports(targets.next_turn()), [1, 2, 3]);
        assert_eq!(ports(targets.next_turn()), [2, 3, 1]);
        assert_eq!(ports(targets.next_turn()), [3, 1, 2]);
        assert_eq!(ports(targets.next_turn()), [1, 2, 3]);
        assert_eq!(targets.first(4).unwrap().port(), 2);
    }

    #[test]
    fn a_target_named_twice_is_tried_once_per_connection() {
        let targets = targets(&["10.0.0.1:1", "10.0.0.1:1"]);
        assert_eq!(targets.candidates(1).len(), 1);
    }

    #[test]
    fn a_name_without_an_address_is_named_with_its_option() {
        let spec: HostPort = "no-such-host.invalid:80".parse().unwrap();
        let error = Targets::resolve(&[spec]).unwrap_err();
        let sentence = error.to_string();
        assert!(
            sentence.starts_with("cannot resolve no-such-host.invalid:80 of --target: "),
            "{sentence}"
        );
    }

    #[tokio::test]
    async fn a_name_is_resolved_again_and_keeps_an_address() {
        let targets = targets(&["localhost:9"]);
        targets.pretend_resolved("192.0.2.1:9".parse().unwrap());
        targets.resolve_again().await;
        assert!(targets.first(0).unwrap().ip().is_loopback());
    }
}
