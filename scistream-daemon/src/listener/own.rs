//! Which addresses are listeners of our own: a target there would feed the gateway with itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::interfaces;

/// The listeners of this process.
#[derive(Debug, Default)]
pub struct OwnListeners {
    /// Addresses that lead here and are none of this host's.
    also_ours: Vec<IpAddr>,
    /// The addresses listened on, by port.
    listening: Mutex<HashMap<u16, Vec<IpAddr>>>,
}

impl OwnListeners {
    /// None yet; `also_ours` are addresses that lead to this host and that it does not know.
    pub fn new(also_ours: Vec<IpAddr>) -> Self {
        Self {
            also_ours,
            listening: Mutex::default(),
        }
    }

    /// A listener opened.
    pub fn add(&self, listen: SocketAddr) {
        let ip = listen.ip().to_canonical();
        self.listening().entry(listen.port()).or_default().push(ip);
    }

    /// A listener closed.
    pub fn remove(&self, listen: SocketAddr) {
        let mut listening = self.listening();
        if let Some(on_port) = listening.get_mut(&listen.port()) {
            let ip = listen.ip().to_canonical();
            if let Some(at) = on_port.iter().position(|own| *own == ip) {
                on_port.swap_remove(at);
            }
            if on_port.is_empty() {
                listening.remove(&listen.port());
            }
        }
    }

    /// Whether a connection to `target` would reach a listener of ours.
    pub fn reach(&self, target: SocketAddr) -> bool {
        let on_port = self.listening().get(&target.port()).cloned();
        let Some(on_port) = on_port else {
            return false;
        };
        let ip = target.ip().to_canonical();
        let wildcard = on_port
            .iter()
            .any(|own| own.is_unspecified() && own.is_ipv4() == ip.is_ipv4());
        if self.also_ours.iter().any(|ours| ours.to_canonical() == ip) || on_port.contains(&ip) {
            return true;
        }
        wildcard && (ip.is_loopback() || ip.is_unspecified() || interfaces::has_address(ip))
    }

    fn listening(&self) -> MutexGuard<'_, HashMap<u16, Vec<IpAddr>>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_lead_back_are_known() {
        let own = OwnListeners::new(vec!["203.0.113.9".parse().unwrap()]);
        own.add("0.0.0.0:5100".parse().unwrap());
        own.add("127.0.0.2:5200".parse().unwrap());
        for (target, reaches) in [
            ("127.0.0.1:5100", true),
            ("127.9.9.9:5100", true),
            ("[::ffff:127.0.0.1]:5100", true),
            ("203.0.113.9:5100", true),
            ("[::1]:5100", false),
            ("192.0.2.1:5100", false),
            ("127.0.0.1:5101", false),
            ("127.0.0.2:5200", true),
            ("127.0.0.1:5200", false),
        ] {
            assert_eq!(own.reach(target.parse().unwrap()), reaches, "{target}");
        }
        own.remove("0.0.0.0:5100".parse().unwrap());
        assert!(!own.reach("127.0.0.1:5100".parse().unwrap()));
    }
}
