//! Everything an operator can get wrong ends in one sentence and an exit code.

use std::process::Output;
use std::thread;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::gateway::{Gateway, nobody, read_until_reset, run, target};

const ANY: &str = "127.0.0.1:0";

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The one line of a gateway that failed to start.
fn failure(args: &[&str]) -> String {
    let mut full = vec!["forward", "--log-format", "json", "--log-level", "warn"];
    full.extend(args);
    let output = run(&full);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let log = stderr(&output);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(line["level"], "ERROR");
    line["message"].as_str().unwrap().to_owned()
}

#[test]
fn an_unknown_option_value_is_a_usage_error_that_names_the_option() {
    for (option, value) in [
        ("--plane", "fast"),
        ("--listen", "nonsense"),
        ("--target", "10.0.0.1"),
        ("--max-connections", "0"),
        ("--connect-timeout", "5"),
        ("--connect-timeout", "off"),
        ("--idle-timeout", "soon"),
        ("--keepalive", "1ms"),
        ("--sndbuf", "huge"),
        ("--rcvbuf", "0"),
        ("--drain-timeout", "1y"),
        ("--stats-interval", "0s"),
        ("--log-format", "xml"),
    ] {
        let output = run(&["forward", "--listen", ANY, "--target", ANY, option, value]);
        assert_eq!(output.status.code(), Some(2), "{option} {value}");
        let sentence = stderr(&output);
        assert!(
            sentence.contains(&format!("invalid value '{value}' for '{option}")),
            "{sentence}"
        );
    }
}

#[test]
fn a_missing_or_unknown_option_is_a_usage_error() {
    for args in [
        &["forward"][..],
        &["forward", "--listen", ANY],
        &["forward", "--listen", ANY, "--target", ANY, "--fast"],
        &["backward"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_log_filter_that_does_not_parse_is_a_usage_error() {
    let output = run(&[
        "forward",
        "--listen",
        ANY,
        "--target",
        ANY,
        "--log-level",
        "a=b=c",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: --log-level holds `a=b=c`"));
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let host = "no-such-host.invalid:80";
    for (args, option) in [
        (["--listen", ANY, "--target", host], "--target"),
        (["--listen", host, "--target", ANY], "--listen"),
    ] {
        let sentence = failure(&args);
        let start = format!("cannot resolve {host} of {option}: ");
        assert!(sentence.starts_with(&start), "{sentence}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let (_holder, address) = target();
    let sentence = failure(&["--listen", &address.to_string(), "--target", ANY]);
    let start = format!("cannot listen on {address}: the port is in use");
    assert!(sentence.starts_with(&start), "{sentence}");
}

#[test]
fn an_address_of_another_host_is_named() {
    let sentence = failure(&["--listen", "192.0.2.1:0", "--target", ANY]);
    assert!(
        sentence.contains("192.0.2.1:0: this host has no such address"),
        "{sentence}"
    );
}

/// Runs `action` in a thread whose children cannot hold these capabilities.
fn without<T: Send>(lost: CapabilitySet, action: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let restricted = scope.spawn(|| {
            for capability in lost.iter() {
                // Refused where this process is not privileged, and then there is nothing to lose.
                let _unprivileged = remove_capability_from_bounding_set(capability);
            }
            action()
        });
        restricted.join().unwrap()
    })
}

#[test]
fn a_privileged_port_without_the_privilege_is_named() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let port = first.trim().parse::<u16>().unwrap() - 1;
    let listen = format!("127.0.0.1:{port}");
    let sentence = without(CapabilitySet::NET_BIND_SERVICE, || {
        failure(&["--listen", &listen, "--target", ANY])
    });
    let start = format!("cannot listen on {listen}: permission denied");
    assert!(sentence.starts_with(&start), "{sentence}");
}

#[test]
fn insisting_on_sockmap_without_the_capabilities_is_an_error_that_says_why() {
    let bpf = CapabilitySet::BPF | CapabilitySet::SYS_ADMIN;
    let args = ["--listen", ANY, "--target", ANY, "--plane", "sockmap"];
    let sentence = without(bpf, || failure(&args));
    assert!(
        sentence.starts_with("the sockmap plane cannot work here: "),
        "{sentence}"
    );
    assert!(sentence.ends_with("; or use --plane auto"), "{sentence}");
}

#[test]
fn auto_without_the_capabilities_falls_back_and_says_so() {
    let bpf = CapabilitySet::BPF | CapabilitySet::SYS_ADMIN;
    let mut gateway = without(bpf, || {
        let (_listener, address) = target();
        Gateway::start(&[address], &["--listen", ANY])
    });
    let declined = gateway.wait_for("plane declined");
    assert_eq!(declined["plane"], "sockmap");
    assert!(!declined["reason"].as_str().unwrap().is_empty());
    assert_eq!(gateway.wait_for("plane chosen")["plane"], "splice");
    gateway.stop();
}

#[test]
fn local_apps_on_a_plane_without_them_is_an_error() {
    let args = [
        "--listen",
        ANY,
        "--target",
        ANY,
        "--plane",
        "copy",
        "--local-apps",
        "/",
    ];
    assert!(failure(&args).starts_with("--local-apps needs the sockmap plane"));
}

#[test]
fn a_target_that_is_down_resets_the_peer_and_is_logged_with_its_addresses() {
    let (down, down_too) = (nobody(), nobody());
    let mut gateway = Gateway::before(&[down, down_too], &[]);
    let mut stream = gateway.connect();
    assert_eq!(read_until_reset(&mut stream), b"");
    let line = gateway.wait_for("connection refused");
    assert_eq!(line["reason"], "upstream_unreachable");
    assert_eq!(line["downstream"], stream.local_addr().unwrap().to_string());
    assert_eq!(line["listen"], gateway.listens[0].to_string());
    let error = line["error"].as_str().unwrap();
    for address in [down, down_too] {
        assert!(error.contains(&address.to_string()), "{error}");
    }
    gateway.stop();
}
