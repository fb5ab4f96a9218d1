//! The names by which users may reach this host: what its certificate must hold.

use crate::sys::interfaces;

/// Names that every host has for itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The host's name, what the user adds, its addresses, and those of loopback; each once, in this
/// order.
pub(super) fn of_this_host(further: &[String]) -> Vec<String> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let addresses = interfaces::addresses().unwrap_or_default();
    let usable = addresses
        .iter()
        .filter(|ip| !ip.is_loopback() && !is_link_local(ip))
        .map(ToString::to_string);
    let mut names = Vec::new();
    let all = std::iter::once(host)
        .chain(further.iter().cloned())
        .chain(usable)
        .chain(LOOPBACK.map(str::to_owned));
    for name in all {
        if is_name(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Such an address means another interface on every host.
fn is_link_local(ip: &std::net::IpAddr) -> bool {
    match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// `(none)` is what a host without a name is called.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['(', ')', ' '])
}
