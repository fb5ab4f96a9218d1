//! The values that settings have beside numbers, words and text: times, rates, addresses, port maps.
//! Each parses itself and is written as it is read.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy::{PatternError, Ports, TargetPattern, Who, WhoError};
use crate::session::Network;

/// Why a value was refused; each displays as what was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// Not an address to tell callers.
    #[error(
        "expected an address or a host name without a port, for example 192.0.2.7, 2001:db8::7 or gateway.example.org"
    )]
    Advertise,
    /// Not a pattern of targets.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Not a map of ports.
    #[error("expected two ranges of ports of the same size, such as 5100-5110=30510-30520")]
    PortMap,
    /// Not a range of ports.
    #[error("expected a range of ports from 1 to 65535, such as 5100-5200, or 0 for any free ones")]
    PortRange,
    /// Not a rate.
    #[error("expected bits per second, such as 500M, 10G or 2500000")]
    Rate,
    /// Not a time.
    #[error("expected a time with its unit (ms, s, m, h, d), such as 200ms, 30s or 12h")]
    Time,
    /// Not a URL that can be asked.
    #[error("expected an https:// URL (http:// only to this very host)")]
    Url,
    /// Not a principal.
    #[error(transparent)]
    Who(#[from] WhoError),
}

/// Reads and writes a value as a string in the settings, and says so in the schema.
macro_rules! text_value {
    ($type:ty, $name:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(|error| {
                    serde::de::Error::custom(format_args!("`{}`: {error}", text.escape_debug()))
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}

/// A time: `200ms`, `30s`, `5m`, `12h`, `7d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Time(
    /// The time.
    pub Duration,
);

/// Bits per second: `500M`, `10G`; units are powers of 1000.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BitRate(
    /// Bits per second.
    pub u64,
);

/// A range of ports to bind: `5100-5200`; `0` for any that the kernel has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortRange(
    /// The ports; 0 is not among others.
    pub Ports,
);

/// Ports that callers are told instead of those that are bound: `5100-5110=30510-30520`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortMapping {
    /// What is bound.
    pub bound: Ports,
    /// What callers are told, in the same order.
    pub told: Ports,
}

/// The host that callers are told: a name or an address, never the wildcard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdvertisedHost(String);

/// Where an issuer answers: `https://…`, or `http://` on this very host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuerUrl(http::Uri);

text_value!(Time, "Time", "30s");
text_value!(BitRate, "BitRate", "10G");
text_value!(PortRange, "PortRange", "5100-5200");
text_value!(PortMapping, "PortMapping", "5100-5110=30510-30520");
text_value!(AdvertisedHost, "AdvertisedHost", "gateway.example.org");
text_value!(IssuerUrl, "IssuerUrl", "https://auth.globus.org");
text_value!(TargetPattern, "TargetPattern", "10.0.0.0/8:5000-6000");
text_value!(Who, "Who", "group:staff");
text_value!(Network, "Network", "10.0.0.0/8");

const TIME_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Longer is not meant, and sums of such times stay far from overflowing.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

impl FromStr for Time {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unit_at = text
            .find(|c: char| !c.is_ascii_digit())
            .ok_or(ValueError::Time)?;
        let (digits, unit) = text.split_at(unit_at);
        let number: u64 = digits.parse().map_err(|_digits| ValueError::Time)?;
        let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit);
        let milliseconds = factor.and_then(|(_, factor)| number.checked_mul(*factor));
        milliseconds
            .map(Duration::from_millis)
            .filter(|time| *time <= LONGEST)
            .map(Self)
            .ok_or(ValueError::Time)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let fitting = TIME_UNITS.iter().rev().find(|(_, factor)| {
            milliseconds != 0 && milliseconds.is_multiple_of(u128::from(*factor))
        });
        match fitting {
            Some((unit, factor)) => write!(f, "{}{unit}", milliseconds / u128::from(*factor)),
            None => write!(f, "{milliseconds}ms"),
        }
    }
}

const RATE_UNITS: [(char, u64); 4] = [
    ('k', 1_000),
    ('M', 1_000_000),
    ('G', 1_000_000_000),
    ('T', 1_000_000_000_000),
];

impl FromStr for BitRate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let unit = RATE_UNITS.iter().find(|(unit, _)| text.ends_with(*unit));
        let (digits, factor) = match unit {
            Some((_, factor)) => (&text[..text.len() - 1], *factor),
            None => (text, 1),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ValueError::Rate);
        }
        let number: Option<u64> = digits.parse().ok();
        number
            .and_then(|number| number.checked_mul(factor))
            .filter(|rate| *rate > 0)
            .map(Self)
            .ok_or(ValueError::Rate)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rate) = *self;
        let fitting = RATE_UNITS
            .iter()
            .rev()
            .find(|(_, factor)| rate.is_multiple_of(*factor));
        match fitting {
            Some((unit, factor)) if rate > 0 => write!(f, "{}{unit}", rate / factor),
            Some(_) | None => write!(f, "{rate}"),
        }
    }
}

impl FromStr for PortRange {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let ports: Ports = text.parse().map_err(|_ports| ValueError::PortRange)?;
        if ports.first == 0 && ports.last != 0 {
            return Err(ValueError::PortRange);
        }
        Ok(Self(ports))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ports { first: 0, last: 0 } => f.write_str("0"),
            Ports { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl PortMapping {
    /// The port that callers are told for one that is bound, if it is mapped.
    pub fn tell(&self, bound: u16) -> Option<u16> {
        let Self { bound: ports, told } = self;
        ports
            .contain(bound)
            .then(|| told.first + (bound - ports.first))
    }

    /// The port that is bound where callers are told this one, if one is mapped to it.
    pub fn bound_for(&self, told: u16) -> Option<u16> {
        let Self { bound, told: ports } = self;
        ports
            .contain(told)
            .then(|| bound.first + (told - ports.first))
    }
}

impl FromStr for PortMapping {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (bound, told) = text.split_once('=').ok_or(ValueError::PortMap)?;
        let range = |text: &str| {
            text.parse::<PortRange>()
                .map_err(|_range| ValueError::PortMap)
        };
        let (PortRange(bound), PortRange(told)) = (range(bound)?, range(told)?);
        if bound.first == 0 || told.first == 0 || bound.count() != told.count() {
            return Err(ValueError::PortMap);
        }
        Ok(Self { bound, told })
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, told } = self;
        write!(f, "{}={}", PortRange(*bound), PortRange(*told))
    }
}

impl AdvertisedHost {
    /// The name, or the address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, where it is one and not a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// The host with a port, as callers are told.
    pub fn with_port(&self, port: u16) -> String {
        if self.0.contains(':') {
            format!("[{}]:{port}", self.0)
        } else {
            format!("{}:{port}", self.0)
        }
    }
}

impl From<IpAddr> for AdvertisedHost {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string())
    }
}

impl FromStr for AdvertisedHost {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let plain = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        match plain.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_multicast() => {
                Err(ValueError::Advertise)
            }
            Ok(address) => Ok(Self(address.to_string())),
            Err(_name) if crate::policy::is_host_name(text) => Ok(Self(text.to_owned())),
            Err(_neither) => Err(ValueError::Advertise),
        }
    }
}

impl fmt::Display for AdvertisedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IssuerUrl {
    /// Globus Auth.
    pub fn globus() -> Self {
        Self(http::Uri::from_static("https://auth.globus.org"))
    }

    /// The URL.
    pub fn uri(&self) -> &http::Uri {
        &self.0
    }

    /// The same with a path appended.
    pub fn join(&self, path: &str) -> Option<Self> {
        format!("{}{path}", self.to_string().trim_end_matches('/'))
            .parse()
            .ok()
    }
}

impl FromStr for IssuerUrl {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let uri: http::Uri = text.parse().map_err(|_uri| ValueError::Url)?;
        let host = uri.host().ok_or(ValueError::Url)?;
        // A token that crosses a network in the clear is everyone's.
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_this_host(host),
            Some(_) | None => false,
        };
        let is_plain = uri.query().is_none() && !text.contains('@');
        if is_safe && is_plain {
            Ok(Self(uri))
        } else {
            Err(ValueError::Url)
        }
    }
}

fn is_this_host(host: &str) -> bool {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || plain
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read_and_written() {
        for (text, time) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
        ] {
            let parsed: Time = text.parse().unwrap();
            assert_eq!(parsed.0, Duration::from_millis(time));
            assert_eq!(parsed.to_string(), text);
        }
        for (text, rate) in [
            ("1", 1),
            ("1500", 1_500),
            ("500M", 500_000_000),
            ("10G", 10_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(BitRate(rate)));
        }
        assert_eq!(BitRate(1_500).to_string(), "1500");
        for text in [
            "",
            "s",
            "5",
            "5 s",
            "-5s",
            "5w",
            "99999999999d",
            "18446744073709551616ms",
        ] {
            assert_eq!(text.parse::<Time>(), Err(ValueError::Time), "{text}");
        }
        for text in ["", "G", "0", "-1G", "1.5G", "+5", "10g", "99999999T"] {
            assert_eq!(text.parse::<BitRate>(), Err(ValueError::Rate), "{text}");
        }
    }

    #[test]
    fn a_port_map_keeps_the_order_of_ports() {
        let map: PortMapping = "5100-5110=30510-30520".parse().unwrap();
        assert_eq!(
            (map.tell(5100), map.tell(5107), map.tell(5111)),
            (Some(30510), Some(30517), None)
        );
        assert_eq!(
            (
                map.bound_for(30510),
                map.bound_for(30520),
                map.bound_for(30521)
            ),
            (Some(5100), Some(5110), None)
        );
        assert_eq!(map.to_string(), "5100-5110=30510-30520");
        for text in [
            "5100=30510-30511",
            "5100-5110",
            "0-1=2-3",
            "5-4=5-4",
            "=",
            "1-2=3-65536",
        ] {
            assert_eq!(
                text.parse::<PortMapping>(),
                Err(ValueError::PortMap),
                "{text}"
            );
        }
    }

    #[test]
    fn callers_are_never_told_a_wildcard() {
        for (text, told) in [
            ("192.0.2.7", "192.0.2.7:1"),
            ("[2001:db8::7]", "[2001:db8::7]:1"),
            ("gw.example.org", "gw.example.org:1"),
        ] {
            assert_eq!(text.parse::<AdvertisedHost>().unwrap().with_port(1), told);
        }
        for text in ["0.0.0.0", "::", "[::]", "224.0.0.1", "", "gw:5", "a b"] {
            assert_eq!(
                text.parse::<AdvertisedHost>(),
                Err(ValueError::Advertise),
                "{text}"
            );
        }
    }

    #[test]
    fn an_issuer_is_asked_over_tls_or_on_this_host() {
        for text in [
            "https://auth.globus.org",
            "http://127.0.0.1:8080/v2",
            "http://localhost",
            "http://[::1]:9",
        ] {
            assert!(text.parse::<IssuerUrl>().is_ok(), "{text}");
        }
        for text in [
            "http://auth.globus.org",
            "auth.globus.org",
            "ftp://x",
            "",
            "https://u:p@x",
            "https://x/?a=b",
        ] {
            assert_eq!(text.parse::<IssuerUrl>(), Err(ValueError::Url), "{text}");
        }
        let issuer: IssuerUrl = "https://x.org/".parse().unwrap();
        assert_eq!(issuer.join("/a").unwrap().to_string(), "https://x.org/a");
    }
}
