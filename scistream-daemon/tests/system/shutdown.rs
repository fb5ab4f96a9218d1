//! How a gateway stops: it drains, and what it cuts short is reset, never ended cleanly.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::gateway::{Gateway, accept, echo, read_until_reset, round_trip, target};

#[test]
fn sigterm_closes_the_listeners_and_lets_connections_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut gateway = Gateway::before(&[echo()], &[]);
        let mut stream = gateway.connect();
        round_trip(&mut stream, b"before");
        gateway.signal(signal);
        let line = gateway.wait_for("draining");
        assert_eq!(line["connections"], 1);
        let refused = TcpStream::connect(gateway.listens[0]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        round_trip(&mut stream, b"meanwhile");
        drop(stream);
        assert_eq!(gateway.wait_for("connection closed")["reason"], "finished");
        assert_eq!(gateway.wait_for("stopped")["drain"], "finished");
        assert_eq!(gateway.exit_status().code(), Some(0));
    }
}

#[test]
fn connections_that_outlast_the_drain_time_are_reset_on_both_sides() {
    let (listener, address) = target();
    let mut gateway = Gateway::before(&[address], &["--drain-timeout", "100ms"]);
    let mut producer = gateway.connect();
    let mut consumer = accept(&listener);
    producer.write_all(b"cut short").unwrap();
    consumer.read_exact(&mut [0; 9]).unwrap();
    gateway.signal(Signal::TERM);
    assert_eq!(read_until_reset(&mut producer), b"");
    assert_eq!(read_until_reset(&mut consumer), b"");
    assert_eq!(
        gateway.wait_for("connection closed")["reason"],
        "drain_timeout"
    );
    assert_eq!(gateway.wait_for("stopped")["drain"], "timed_out");
    assert_eq!(gateway.exit_status().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    for plane in ["copy", "splice"] {
        let (listener, address) = target();
        let args = [
            "--listen",
            "127.0.0.1:0",
            "--plane",
            plane,
            "--drain-timeout",
            "off",
        ];
        let mut gateway = Gateway::start(&[address], &args);
        let mut producer = gateway.connect();
        let mut consumer = accept(&listener);
        gateway.signal(Signal::TERM);
        gateway.wait_for("draining");
        gateway.signal(Signal::TERM);
        assert_eq!(read_until_reset(&mut producer), b"");
        assert_eq!(read_until_reset(&mut consumer), b"");
        assert_eq!(
            gateway.wait_for("connection closed")["reason"],
            "drain_timeout"
        );
        assert_eq!(gateway.wait_for("stopped")["drain"], "interrupted");
        assert_eq!(gateway.exit_status().code(), Some(0));
    }
}

#[test]
fn a_gateway_without_connections_stops_at_once() {
    let gateway = Gateway::before(&[echo()], &["--drain-timeout", "off"]);
    let rest = gateway.stop();
    assert!(rest.iter().any(|line| line["message"] == "stopped"));
}
