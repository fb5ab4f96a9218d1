//! The values that `s2uc`'s options take, each parsed by a pure function.

use std::str::FromStr;
use std::time::Duration;

use crate::cli::{HostPort, TimeLimit, ValueError};

/// Ports of one host, separated by commas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ports(Vec<u16>);

/// Hosts and ports, separated by commas.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TargetList(Vec<HostPort>);

impl Ports {
    /// The ports with a host, as the protocol writes them.
    pub fn of(&self, host: &str) -> Vec<String> {
        let bracketed = host.contains(':') && !host.starts_with('[');
        let host = if bracketed {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        self.0.iter().map(|port| format!("{host}:{port}")).collect()
    }
}

impl TargetList {
    /// As the protocol writes them.
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ports = text.split(',').map(|port| match port.trim().parse() {
            Ok(port @ 1..) => Ok(port),
            Ok(0) | Err(_) => Err(format!(
                "{port:?} is no port: expected 1 to 65535, separated by commas"
            )),
        });
        ports.collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for TargetList {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let list = text.split(',').map(|one| one.trim().parse());
        list.collect::<Result<_, _>>().map(Self)
    }
}

/// A time above zero.
pub(crate) fn time(text: &str) -> Result<Duration, ValueError> {
    match text.parse::<TimeLimit>()? {
        TimeLimit(Some(time)) if !time.is_zero() => Ok(time),
        TimeLimit(Some(_)) => Err(ValueError::Zero),
        TimeLimit(None) => Err(ValueError::Duration),
    }
}

/// A truth value as upstream's command line library takes them.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
        "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
        _ => Err("expected True or False".to_owned()),
    }
}

/// A rate in bits per second: `500M`, `10G`, `2.5G`.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let expected =
        || "expected bits per second with k, M, G or T, for example 500M or 2.5G".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let thousands = match &text[digits.len()..] {
        "" => 0,
        "k" | "K" => 1,
        "M" | "m" => 2,
        "G" | "g" => 3,
        "T" | "t" => 4,
        _ => return Err(expected()),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(part) || part.len() > 3 * thousands.max(1) {
        return Err(expected());
    }
    let unit = 10_u64.pow(u32::try_from(3 * thousands).map_err(|_long| expected())?);
    let places = 10_u64.pow(u32::try_from(part.len()).map_err(|_long| expected())?);
    let whole: u64 = whole.parse().map_err(|_long| expected())?;
    let part: u64 = part.parse().map_err(|_long| expected())?;
    // The part is below one unit and the longest unit has twelve zeros: no overflow.
    let rate = whole.checked_mul(unit);
    let rate = rate.and_then(|rate| rate.checked_add(part.saturating_mul(unit) / places));
    rate.filter(|&rate| rate > 0).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_in_bits_per_second() {
        let rates = [
            ("1", 1),
            ("500M", 500_000_000),
            ("2.5G", 2_500_000_000),
            ("10G", 10_000_000_000),
            ("1T", 1_000_000_000_000),
        ];
        for (text, expected) in rates {
            assert_eq!(rate(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "0",
            "G",
            "-1G",
            "1.G",
            "1 G",
            "10Gb",
            "99999999999999999999",
            "9999999999T",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_joined_with_their_host() {
        let ports: Ports = "80, 443".parse().unwrap();
        assert_eq!(ports.of("h"), ["h:80", "h:443"]);
        assert_eq!(ports.of("::1"), ["[::1]:80", "[::1]:443"]);
        for text in ["", "0", "80,", "65536", "http"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn targets_are_hosts_with_ports() {
        let list: TargetList = "a:1,[::1]:2".parse().unwrap();
        assert_eq!(list.to_strings(), ["a:1", "[::1]:2"]);
        assert!("a:1,,b:2".parse::<TargetList>().is_err());
    }
}
