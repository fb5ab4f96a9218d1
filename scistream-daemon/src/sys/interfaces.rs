//! The addresses of this host's interfaces.
#![expect(unsafe_code, reason = "getifaddrs has no safe wrapper")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// Whether `address` is one of this host's; not known to be where the kernel does not say.
pub fn has_address(address: IpAddr) -> bool {
    let mut list = ptr::null_mut();
    // SAFETY: the call writes one pointer to the local `list`.
    let status = unsafe { libc::getifaddrs(&raw mut list) };
    if status < 0 {
        return false;
    }
    let mut found = false;
    let mut next: *const libc::ifaddrs = list;
    // SAFETY: `next` is null, or an element of the list, which is freed only below.
    while let Some(entry) = unsafe { next.as_ref() } {
        found |= ip_of(entry.ifa_addr) == Some(address);
        next = entry.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs, is freed once, and nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    found
}

/// The IP address that `address`, of an element of getifaddrs' list, holds.
fn ip_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: null, or a socket address of the list that begins with its family.
    let family = unsafe { address.as_ref() }?.sa_family;
    match i32::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that this is a sockaddr_in; malloc aligned the list.
            let v4 = unsafe { &*address.cast::<libc::sockaddr_in>() };
            Some(Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a sockaddr_in6; malloc aligned the list.
            let v6 = unsafe { &*address.cast::<libc::sockaddr_in6>() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_ours_and_a_documentation_address_is_not() {
        assert!(has_address(Ipv4Addr::LOCALHOST.into()));
        assert!(!has_address(Ipv4Addr::new(192, 0, 2, 1).into()));
        assert!(!has_address(Ipv6Addr::from_bits(0x2001_0db8 << 96).into()));
    }
}
