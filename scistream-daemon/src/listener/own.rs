//! Which addresses are listeners of our own: a target there would feed the gateway with itself.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::{AdvertisedHost, PortMapping};
use crate::sys::interfaces;

/// What callers are told in place of what is bound: a connection to there comes back here, by a NAT
/// or a NodePort that this host knows nothing of.
#[derive(Clone, Debug, Default)]
pub struct Advertised {
    /// The host.
    pub host: Option<AdvertisedHost>,
    /// The ports that are told as others.
    pub ports: Vec<PortMapping>,
}

/// The listeners of this process.
#[derive(Debug, Default)]
pub struct OwnListeners {
    advertised: Advertised,
    /// The addresses of the advertised host, as far as they are known.
    advertised_at: Mutex<Vec<IpAddr>>,
    /// The addresses listened on, by port.
    listening: Mutex<HashMap<u16, Vec<IpAddr>>>,
}

impl OwnListeners {
    /// None yet.
    pub fn new(advertised: Advertised) -> Self {
        let address = advertised.host.as_ref().and_then(AdvertisedHost::address);
        Self {
            advertised_at: Mutex::new(address.into_iter().collect()),
            advertised,
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

    /// The advertised host's name, where its addresses are wanted to judge a target at `port`.
    pub fn name_to_look_up(&self, port: u16) -> Option<&str> {
        let host = self.advertised.host.as_ref()?;
        let is_mapped = |map: &PortMapping| map.bound_for(port).is_some();
        let may_be_told = self.advertised.ports.iter().any(is_mapped) || self.is_told(port);
        (host.address().is_none() && may_be_told).then_some(host.as_str())
    }

    /// The advertised host was looked up, and has these addresses.
    pub fn learn(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().map(|ip| ip.to_canonical());
        *locked(&self.advertised_at) = addresses.collect();
    }

    /// Whether a connection to `target` would reach a listener of ours.
    pub fn reach(&self, target: SocketAddr) -> bool {
        let ip = target.ip().to_canonical();
        let is_advertised = || locked(&self.advertised_at).contains(&ip);
        self.is_bound(ip, target.port()) || (self.is_told(target.port()) && is_advertised())
    }

    fn is_bound(&self, ip: IpAddr, port: u16) -> bool {
        let on_port = self.listening().get(&port).cloned();
        let Some(on_port) = on_port else {
            return false;
        };
        let wildcard = on_port
            .iter()
            .any(|own| own.is_unspecified() && own.is_ipv4() == ip.is_ipv4());
        let is_here = || ip.is_loopback() || ip.is_unspecified() || interfaces::has_address(ip);
        on_port.contains(&ip) || (wildcard && is_here())
    }

    /// Whether callers may be told `port` for a listener that is open.
    fn is_told(&self, port: u16) -> bool {
        let listening = self.listening();
        let mapped = |map: &PortMapping| map.bound_for(port);
        let mut bound = self.advertised.ports.iter().filter_map(mapped);
        listening.contains_key(&port) || bound.any(|bound| listening.contains_key(&bound))
    }

    fn listening(&self) -> MutexGuard<'_, HashMap<u16, Vec<IpAddr>>> {
        locked(&self.listening)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_lead_back_are_known() {
        let own = OwnListeners::new(Advertised {
            host: Some("203.0.113.9".parse().unwrap()),
            ports: vec!["5100-5110=30510-30520".parse().unwrap()],
        });
        own.add("0.0.0.0:5100".parse().unwrap());
        own.add("127.0.0.2:5200".parse().unwrap());
        for (target, reaches) in [
            ("127.0.0.1:5100", true),
            ("127.9.9.9:5100", true),
            ("[::ffff:127.0.0.1]:5100", true),
            ("203.0.113.9:5100", true),
            ("203.0.113.9:30510", true),
            ("203.0.113.9:30511", false),
            ("[::ffff:203.0.113.9]:30510", true),
            ("127.0.0.1:30510", false),
            ("[::1]:5100", false),
            ("192.0.2.1:5100", false),
            ("127.0.0.1:5101", false),
            ("127.0.0.2:5200", true),
            ("127.0.0.1:5200", false),
        ] {
            assert_eq!(own.reach(target.parse().unwrap()), reaches, "{target}");
        }
        own.remove("0.0.0.0:5100".parse().unwrap());
        for target in ["127.0.0.1:5100", "203.0.113.9:30510"] {
            assert!(!own.reach(target.parse().unwrap()), "{target}");
        }
    }

    #[test]
    fn an_advertised_name_is_looked_up_only_for_ports_that_are_told() {
        let own = OwnListeners::new(Advertised {
            host: Some("gateway.example.org".parse().unwrap()),
            ports: vec!["5100-5110=30510-30520".parse().unwrap()],
        });
        own.add("0.0.0.0:5200".parse().unwrap());
        let name = Some("gateway.example.org");
        assert_eq!(own.name_to_look_up(30515), name, "mapped");
        assert_eq!(own.name_to_look_up(5200), name, "open");
        assert_eq!(own.name_to_look_up(5201), None);
        let back = "198.51.100.7:5200".parse().unwrap();
        assert!(!own.reach(back));
        own.learn(["198.51.100.7".parse().unwrap()]);
        assert!(own.reach(back));
    }
}
