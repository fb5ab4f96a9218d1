//! Where a listener sends: a host, by name or address, and a port.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::error::SessionError;
use crate::cli::HostPort;

/// Longest host name (RFC 1035), characters.
const MAX_NAME: usize = 253;

/// A host and a port that can be dialled.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Target(HostPort);

impl Target {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        self.0.host()
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.0.port()
    }

    /// The socket address, where the host is an address and not a name.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.0.literal()
    }

    /// As listeners and dialling take it.
    pub(crate) fn as_host_port(&self) -> &HostPort {
        &self.0
    }
}

impl FromStr for Target {
    type Err = SessionError;

    /// Takes what a caller sent as a target.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        let parsed = (text.len() <= MAX_NAME + ":65535".len())
            .then(|| text.parse::<HostPort>().ok())
            .flatten();
        let fits = |target: &HostPort| {
            let host = target.host();
            target.port() != 0 && (target.literal().is_some_and(is_dialable) || is_name(host))
        };
        parsed.filter(fits).map(Self).ok_or_else(|| {
            let allowed = "HOST:PORT with a port from 1 to 65535, such as 192.0.2.7:5201, [2001:db8::7]:5201 or instrument.example.org:5201";
            SessionError::bad_field("targets", text, allowed)
        })
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self(HostPort::from(address))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The kernel takes a wildcard for this very host; nobody means that.
fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Labels of letters, digits, `-` and `_`, and no number at the end, which resolvers take for an
/// address in one of its old forms (`0x7f.1`).
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= MAX_NAME
        && host.split('.').all(label)
        && !last.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_targets() {
        for text in [
            "192.0.2.7:5201",
            "[2001:db8::7]:5201",
            "instrument.example.org:1",
            "dtn_1:65535",
            "localhost:80",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_dialled_or_could_be_something_else_is_refused() {
        for text in [
            "",
            ":80",
            "host",
            "host:0",
            "host:65536",
            "host:-1",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:80",
            "224.0.0.1:80",
            "127.1:80",
            "0x7f.0.0.1:80",
            "0x7f.1:80",
            "2130706433:80",
            "a..b:80",
            "-x:80",
            "a/../b:80",
            "a\n:80",
            "a b:80",
            "münchen.example:80",
            &format!(
                "{}:80",
                "a.".repeat(127).trim_end_matches('.').to_owned() + "aa"
            ),
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
