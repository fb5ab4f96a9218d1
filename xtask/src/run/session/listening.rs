//! What listens on a host, by the list of its kernel (the one that `ss -tln` shows).

use std::collections::BTreeSet;
use std::fs;
use std::io;

use anyhow::{Context as _, Result};
use bpf_tests::netns::Place;

/// The lists, as a thread inside a network namespace sees them.
const LISTS: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];

/// The state of a listener, in the kernel's hexadecimal.
const LISTEN: &str = "0A";

/// The TCP ports that something listens on at `place`, on whatever address.
pub(super) fn listening(place: Place<'_>) -> Result<BTreeSet<u16>> {
    let read = place.enter(|| LISTS.map(fs::read_to_string))?;
    let mut ports = BTreeSet::new();
    for (list, read) in LISTS.into_iter().zip(read) {
        match read {
            Ok(text) => ports.extend(text.lines().filter_map(listener)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {list}")),
        }
    }
    Ok(ports)
}

/// The port of one line, `  0: 0100007F:13EC 00000000:0000 0A …`, if it is a listener's.
fn listener(line: &str) -> Option<u16> {
    let mut words = line.split_whitespace().skip(1);
    let (_address, port) = words.next()?.rsplit_once(':')?;
    let state = words.nth(1)?;
    (state == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_is_listed_while_it_listens_and_not_when_it_is_only_connected() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(listening(Place::Here).unwrap().contains(&port));
            let _dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let _accepted = listener.accept().unwrap();
            drop(listener);
            assert!(!listening(Place::Here).unwrap().contains(&port));
        }
    }

    #[test]
    fn a_line_without_a_listener_gives_no_port() {
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue tr";
        assert_eq!(listener(heading), None);
        assert_eq!(listener("   1: 0100007F:13EC 0100007F:C350 01 0:0"), None);
        assert_eq!(
            listener("   0: 0100007F:13EC 00000000:0000 0A 0:0"),
            Some(5_100)
        );
    }
}
