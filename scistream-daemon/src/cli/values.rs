//! The values options take: addresses, times and sizes, each parsed by a pure function.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// How to log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One flat JSON object a line.
    Json,
}

/// A time that may be unlimited: `5s`, `200ms`, `off`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimeLimit(
    /// `None` for `off`.
    pub Option<Duration>,
);

/// A host, by name or by address, and a port: `example.org:80`, `10.0.0.1:80`, `[::1]:80`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why a value was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// A buffer size that is none.
    #[error("expected a number of bytes below 1G, for example 262144, 256k or 4M")]
    BufferSize,
    /// A time that is none.
    #[error("expected a time with its unit (ms, s, m, h), for example 200ms, 5s or 1m")]
    Duration,
    /// A host and port that are none.
    #[error("expected HOST:PORT, for example 0.0.0.0:5000, [::]:5000 or example.org:5000")]
    HostPort,
    /// A keepalive time the kernel does not take.
    #[error(
        "expected `off` or a time from 1s to 9h: the kernel counts keepalives in whole seconds"
    )]
    Keepalive,
    /// A time that may not be zero.
    #[error("expected a time above zero")]
    Zero,
}

impl HostPort {
    /// The host as it was given, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, where the host is an IP address and not a name.
    pub fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (host, port) = text.rsplit_once(':').ok_or(ValueError::HostPort)?;
        let port = port.parse().map_err(|_digits| ValueError::HostPort)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if is_ipv6(inner) => inner,
            Some(_) => return Err(ValueError::HostPort),
            None => host,
        };
        let is_name = !host.is_empty() && !host.contains(|c: char| c == ':' || c.is_whitespace());
        if bracketed.is_none() && !is_name {
            return Err(ValueError::HostPort);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Whether this is an IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let address = text
        .split_once('%')
        .map_or(text, |(address, _zone)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

impl FromStr for TimeLimit {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self(None));
        }
        parse_duration(text).map(|time| Self(Some(time)))
    }
}

/// A time above zero: `5s`, `200ms`.
pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    let time = parse_duration(text)?;
    if time.is_zero() {
        return Err(ValueError::Zero);
    }
    Ok(time)
}

/// A time above zero, or `off`.
pub(super) fn interval(text: &str) -> Result<TimeLimit, ValueError> {
    match text {
        "off" => Ok(TimeLimit(None)),
        time => duration(time).map(|time| TimeLimit(Some(time))),
    }
}

/// A keepalive time in the kernel's range (at most 32,767 seconds), or `off`.
pub(super) fn keepalive(text: &str) -> Result<TimeLimit, ValueError> {
    const RANGE: std::ops::RangeInclusive<u64> = 1..=32_400;
    let limit = interval(text)?;
    match limit.0 {
        Some(time) if !RANGE.contains(&time.as_secs()) => Err(ValueError::Keepalive),
        Some(_) | None => Ok(limit),
    }
}

/// A size in bytes, with `k`, `M` or `G` for powers of 1024.
pub(super) fn buffer_size(text: &str) -> Result<usize, ValueError> {
    // What the kernel can double in an int.
    const MAX: usize = (1 << 30) - 1;
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        Some(_) | None => (text, 1),
    };
    digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| (1..=MAX).contains(bytes))
        .ok_or(ValueError::BufferSize)
}

fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or(ValueError::Duration)?;
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().map_err(|_digits| ValueError::Duration)?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    milliseconds
        .map(Duration::from_millis)
        .ok_or(ValueError::Duration)
}

#[cfg(test)]
mod tests;
