//! Patterns of targets: `10.0.0.0/8:5000-6000`, `[2001:db8::]/32:*`, `*.example.org:443`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::session::Network;

/// Why a pattern was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// The part before the ports is none.
    #[error(
        "expected an address, a network or a name before the ports, for example 10.0.0.0/8:5000-6000, [2001:db8::]/32:* or *.example.org:443"
    )]
    Host,
    /// The ports are none.
    #[error("expected a port, a range of ports (5000-6000) or * after the last colon")]
    Ports,
}

/// A range of ports, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Ports {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// Whether a port is among them.
    pub fn contain(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// How many there are.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

impl FromStr for Ports {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |digits: &str| digits.parse::<u16>().map_err(|_digits| PatternError::Ports);
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(PatternError::Ports);
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("*"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

/// Targets that a rule allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TargetPattern {
    host: HostPattern,
    ports: Ports,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum HostPattern {
    /// `*`
    Any,
    /// `daq1.example.org`, in lower case.
    Name(String),
    /// An address or network.
    Network(Network),
    /// `*.example.org`: kept as `.example.org`, in lower case.
    Suffix(String),
}

impl TargetPattern {
    /// Whether a host of this name may be a target, whatever its addresses.
    pub fn matches_name(&self, name: &str, port: u16) -> bool {
        // A name may be written with the root's dot at its end.
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.ports.contain(port)
            && match &self.host {
                HostPattern::Any => true,
                HostPattern::Name(own) => *own == name,
                HostPattern::Suffix(suffix) => {
                    name.len() > suffix.len() && name.ends_with(suffix.as_str())
                }
                HostPattern::Network(_) => false,
            }
    }

    /// Whether this address may be a target.
    pub fn matches_address(&self, address: IpAddr, port: u16) -> bool {
        // ::ffff:10.0.0.1 is 10.0.0.1 by another spelling.
        let address = address.to_canonical();
        self.ports.contain(port)
            && match &self.host {
                HostPattern::Any => true,
                HostPattern::Network(network) => network.contains(address),
                HostPattern::Name(_) | HostPattern::Suffix(_) => false,
            }
    }
}

impl FromStr for TargetPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (host, ports) = text.rsplit_once(':').ok_or(PatternError::Ports)?;
        Ok(Self {
            host: host.parse()?,
            ports: ports.parse()?,
        })
    }
}

impl FromStr for HostPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(network) = network(text) {
            return Ok(Self::Network(network));
        }
        let (name, is_suffix) = match text.strip_prefix('*') {
            Some(suffix) => (suffix, true),
            None => (text, false),
        };
        let name = name.to_ascii_lowercase();
        let labels = if is_suffix {
            name.strip_prefix('.').ok_or(PatternError::Host)?
        } else {
            &name
        };
        if !is_host_name(labels) {
            return Err(PatternError::Host);
        }
        Ok(if is_suffix {
            Self::Suffix(name)
        } else {
            Self::Name(name)
        })
    }
}

/// An address or a network, with or without brackets around the address.
fn network(text: &str) -> Option<Network> {
    match text.strip_prefix('[') {
        Some(rest) => {
            let (address, prefix) = rest.split_once(']')?;
            format!("{address}{prefix}").parse().ok()
        }
        None => text.parse().ok(),
    }
}

/// Whether this is made of the letters, digits, hyphens and underscores that names in use have.
pub(crate) fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        })
}

impl fmt::Display for TargetPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, ports } = self;
        match host {
            HostPattern::Any => write!(f, "*:{ports}"),
            HostPattern::Name(name) => write!(f, "{name}:{ports}"),
            HostPattern::Network(network) => match network.to_string().split_once('/') {
                Some((address, prefix)) if address.contains(':') => {
                    write!(f, "[{address}]/{prefix}:{ports}")
                }
                Some(_) | None => write!(f, "{network}:{ports}"),
            },
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}:{ports}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_addresses_and_names_with_their_ports() {
        for (pattern, host, port, matches) in [
            ("10.0.0.0/8:5000-6000", "10.1.2.3", 5000, true),
            ("10.0.0.0/8:5000-6000", "10.1.2.3", 6001, false),
            ("10.0.0.0/8:*", "11.0.0.1", 5000, false),
            ("10.1.2.3/8:*", "10.9.9.9", 1, true),
            ("10.0.0.1:80", "10.0.0.1", 80, true),
            ("10.0.0.0/8:*", "::ffff:10.0.0.1", 80, true),
            ("[2001:db8::]/32:*", "2001:db8::7", 9, true),
            ("2001:db8::/32:*", "2001:db9::7", 9, false),
            ("[::1]:5", "::1", 5, true),
            ("*:443", "192.0.2.1", 443, true),
            ("*:443", "example.org", 443, true),
            ("*.example.org:*", "daq.example.org", 9, true),
            ("*.example.org:*", "DAQ.Example.ORG.", 9, true),
            ("*.example.org:*", "example.org", 9, false),
            ("*.example.org:*", "evilexample.org", 9, false),
            ("daq.example.org:9", "daq.example.org", 9, true),
            ("daq.example.org:9", "daq.example.org", 10, false),
            ("10.0.0.0/8:*", "ten.example.org", 9, false),
        ] {
            let pattern: TargetPattern = pattern.parse().unwrap();
            let found = match host.parse() {
                Ok(address) => pattern.matches_address(address, port),
                Err(_name) => pattern.matches_name(host, port),
            };
            assert_eq!(found, matches, "{pattern} {host}:{port}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            ":",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.0/33:1",
            "host:0x50",
            "host:2-1",
            "host:65536",
            "*x.org:1",
            "a b:1",
            "[::1:5",
            "*.:1",
            "-:x",
            "a..b:1",
        ] {
            assert!(text.parse::<TargetPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in [
            "10.0.0.0/8:5000-6000",
            "[2001:db8::]/32:*",
            "*.example.org:443",
            "*:*",
        ] {
            assert_eq!(text.parse::<TargetPattern>().unwrap().to_string(), text);
        }
    }
}
