//! More connections than there may be, or than there are descriptors for: accepting pauses, nothing
//! is lost, and it resumes.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, prlimit};

use crate::gateway::{Gateway, echo, round_trip};

/// Whether a byte has come back by now.
fn is_answered(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let answered = stream.read(&mut [0; 1]).is_ok();
    stream.set_nonblocking(false).unwrap();
    answered
}

#[test]
fn beyond_the_maximum_connections_wait_until_one_closes() {
    let mut gateway = Gateway::before(&[echo()], &["--max-connections", "2"]);
    let mut first = gateway.connect();
    let mut second = gateway.connect();
    round_trip(&mut first, b"1");
    round_trip(&mut second, b"2");

    let mut third = gateway.connect();
    third.write_all(b"3").unwrap();
    let line = gateway.wait_for(
        "accepting pauses at the maximum of connections; raise --max-connections to take more",
    );
    assert_eq!(
        (&line["level"], &line["maximum"]),
        (&"WARN".into(), &2.into())
    );
    assert!(!is_answered(&mut third));

    drop(first);
    third.read_exact(&mut [0; 1]).unwrap();
    gateway.wait_for("accepting resumed");
    drop((second, third));
    for _ in 0..3 {
        assert_eq!(gateway.wait_for("connection closed")["reason"], "finished");
    }
    let rest = gateway.stop();
    assert!(rest.iter().all(|line| line["level"] == "INFO"), "{rest:#?}");
}

#[test]
fn without_descriptors_connections_wait_and_all_are_served_in_the_end() {
    let mut gateway = Gateway::before(&[echo()], &[]);
    let in_use = std::fs::read_dir(format!("/proc/{}/fd", gateway.pid().as_raw_nonzero()))
        .unwrap()
        .count() as u64;
    // Room for four pairs and an odd descriptor.
    let limit = Rlimit {
        current: Some(in_use + 9),
        maximum: Some(in_use + 9),
    };
    prlimit(Some(gateway.pid()), Resource::Nofile, limit).unwrap();

    const CONNECTIONS: usize = 12;
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| gateway.connect()).collect();
    let line = gateway.wait_for(
        "accepting pauses until a connection closes; raise the limit on open files (ulimit -n)",
    );
    assert_eq!(line["level"], "WARN");
    // In the order they came: each one served and closed makes room for a later one.
    for mut stream in streams.drain(..) {
        round_trip(&mut stream, b"x");
    }
    for _ in 0..CONNECTIONS {
        assert_eq!(gateway.wait_for("connection closed")["reason"], "finished");
    }
    gateway.wait_for("accepting resumed");
    let rest = gateway.stop();
    assert!(rest.iter().all(|line| line["level"] == "INFO"), "{rest:#?}");
}
