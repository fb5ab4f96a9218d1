//! Each value's good and bad spellings, as tables.

use super::*;

#[test]
fn hosts_and_ports_are_read_in_every_usual_spelling() {
    for (text, host, port) in [
        ("0.0.0.0:5000", "0.0.0.0", 5000),
        ("[::]:0", "::", 0),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("example.org:65535", "example.org", 65535),
        ("localhost:1", "localhost", 1),
    ] {
        let parsed: HostPort = text.parse().unwrap();
        assert_eq!((parsed.host(), parsed.port()), (host, port), "{text}");
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn what_is_no_host_and_port_is_refused() {
    for text in [
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[]:80",
        "[host]:80",
        "a b:80",
        "http://x:80/",
    ] {
        assert_eq!(
            text.parse::<HostPort>(),
            Err(ValueError::HostPort),
            "{text}"
        );
    }
}

#[test]
fn an_address_is_a_literal_and_a_name_is_not() {
    let literal = |text: &str| text.parse::<HostPort>().unwrap().literal();
    assert_eq!(literal("[::1]:80"), Some("[::1]:80".parse().unwrap()));
    assert_eq!(literal("10.0.0.1:80"), Some("10.0.0.1:80".parse().unwrap()));
    assert_eq!(literal("localhost:80"), None);
}

#[test]
fn times_need_a_unit() {
    for (text, milliseconds) in [
        ("200ms", 200),
        ("5s", 5_000),
        ("2m", 120_000),
        ("2min", 120_000),
        ("1h", 3_600_000),
        ("0s", 0),
    ] {
        let limit: TimeLimit = text.parse().unwrap();
        assert_eq!(limit.0, Some(Duration::from_millis(milliseconds)), "{text}");
    }
    assert_eq!("off".parse(), Ok(TimeLimit(None)));
    for text in [
        "",
        "5",
        "s",
        "5 s",
        "-5s",
        "1.5s",
        "5d",
        "OFF",
        "18446744073709551615h",
    ] {
        assert_eq!(
            text.parse::<TimeLimit>(),
            Err(ValueError::Duration),
            "{text}"
        );
    }
}

#[test]
fn a_time_that_must_not_be_zero_is_not() {
    assert_eq!(duration("0s"), Err(ValueError::Zero));
    assert_eq!(interval("0ms"), Err(ValueError::Zero));
    assert_eq!(interval("off"), Ok(TimeLimit(None)));
    assert_eq!(duration("off"), Err(ValueError::Duration));
}

#[test]
fn keepalive_takes_whole_seconds_within_the_kernels_range() {
    assert_eq!(keepalive("1s"), Ok(TimeLimit(Some(Duration::from_secs(1)))));
    assert_eq!(keepalive("off"), Ok(TimeLimit(None)));
    assert_eq!(keepalive("999ms"), Err(ValueError::Keepalive));
    assert_eq!(keepalive("10h"), Err(ValueError::Keepalive));
}

#[test]
fn sizes_take_binary_units() {
    for (text, bytes) in [
        ("1", 1),
        ("65536", 65_536),
        ("64k", 65_536),
        ("4M", 4 << 20),
        ("1048575k", 1_048_575 << 10),
    ] {
        assert_eq!(buffer_size(text), Ok(bytes), "{text}");
    }
    for text in [
        "",
        "0",
        "k",
        "-1",
        "1G",
        "1.5M",
        "99999999999999999999",
        "4MB",
    ] {
        assert_eq!(buffer_size(text), Err(ValueError::BufferSize), "{text}");
    }
}
