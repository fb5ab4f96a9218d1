//! The addresses of this host's interfaces.
#![expect(unsafe_code, reason = "getifaddrs(3) has no safe wrapper here")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::Error;

/// All addresses, in the kernel's order.
///
/// # Errors
/// What getifaddrs(3) answers.
pub fn addresses() -> Result<Vec<IpAddr>, Error> {
    let mut first: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: the pointer is valid for writing; what is stored there is freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(Error::last("getifaddrs"));
    }
    let mut found = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: the list's entries are valid until it is freed, and nobody else has it.
        let entry = unsafe { &*next };
        found.extend(address(entry.ifa_addr));
        next = entry.ifa_next;
    }
    // SAFETY: it came from getifaddrs, and nothing in `found` points into it.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// Whether `address` is one of this host's; not known to be where the kernel does not say.
pub fn has_address(address: IpAddr) -> bool {
    addresses().is_ok_and(|all| all.contains(&address))
}

/// The IP address in a socket address of the list; others and none give `None`.
fn address(socket: *const libc::sockaddr) -> Option<IpAddr> {
    if socket.is_null() {
        return None;
    }
    // SAFETY: it is not null, and every socket address begins with its family.
    let family = i32::from(unsafe { (*socket).sa_family });
    match family {
        libc::AF_INET => {
            // SAFETY: the family says that this is a whole sockaddr_in, possibly unaligned.
            let socket = unsafe { socket.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(socket.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that this is a whole sockaddr_in6, possibly unaligned.
            let socket = unsafe { socket.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(socket.sin6_addr.s6_addr).into())
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
