//! What goes through a gateway, and what its log says of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::gateway::{
    Gateway, PATIENCE, accept, echo, nobody, read_until_reset, reset, round_trip, target,
};

#[test]
fn a_connection_is_one_line_with_every_figure() {
    let (listener, address) = target();
    let mut gateway = Gateway::before(&[address], &[]);
    let mut producer = gateway.connect();
    let mut consumer = accept(&listener);
    producer.write_all(&[1; 3000]).unwrap();
    consumer.read_exact(&mut [0; 3000]).unwrap();
    consumer.write_all(&[2; 500]).unwrap();
    producer.read_exact(&mut [0; 500]).unwrap();
    let from = producer.local_addr().unwrap().to_string();
    drop((producer, consumer));

    let line = gateway.wait_for("connection closed");
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["downstream"], from);
    assert_eq!(line["upstream"], address.to_string());
    assert_eq!(line["listen"], gateway.listens[0].to_string());
    assert_eq!(line["reason"], "finished");
    assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    for (direction, bytes) in [("to_upstream", 3000), ("to_downstream", 500)] {
        let field = |name: &str| &line[format!("{direction}_{name}")];
        for name in ["bytes", "received", "accepted", "copied"] {
            assert_eq!(*field(name), bytes, "{direction}_{name}");
        }
        for name in ["redirected", "spliced", "flips"] {
            assert_eq!(*field(name), 0, "{direction}_{name}");
        }
        assert_eq!(*field("plane"), "copy");
        assert_eq!(*field("kernel_share"), 0.0);
    }
    let rest = gateway.stop();
    assert!(rest.iter().all(|line| line["message"] != "ledger mismatch"));
}

#[test]
fn splice_moves_bytes_without_copying_them() {
    let mut gateway = Gateway::start(&[echo()], &["--listen", "127.0.0.1:0", "--plane", "splice"]);
    let mut stream = gateway.connect();
    round_trip(&mut stream, &[7; 100_000]);
    drop(stream);
    let line = gateway.wait_for("connection closed");
    assert_eq!(line["reason"], "finished");
    for direction in ["to_upstream", "to_downstream"] {
        assert_eq!(line[format!("{direction}_bytes")], 100_000);
        assert!(line[format!("{direction}_spliced")].as_u64().unwrap() > 0);
    }
    gateway.stop();
}

#[test]
fn a_half_close_passes_through_and_the_answer_still_comes() {
    let mut gateway = Gateway::before(&[echo()], &[]);
    let mut stream = gateway.connect();
    stream.write_all(b"question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "question");
    assert_eq!(gateway.wait_for("connection closed")["reason"], "finished");
    gateway.stop();
}

#[test]
fn a_reset_of_either_side_reaches_the_other_with_what_was_sent_before() {
    for (producer_resets, reason) in [(true, "downstream_reset"), (false, "upstream_reset")] {
        let (listener, address) = target();
        let mut gateway = Gateway::before(&[address], &[]);
        let (producer, consumer) = (gateway.connect(), accept(&listener));
        let (mut dying, mut living) = if producer_resets {
            (producer, consumer)
        } else {
            (consumer, producer)
        };
        dying.write_all(b"last words").unwrap();
        living.peek(&mut [0; 1]).unwrap();
        reset(dying);
        assert_eq!(read_until_reset(&mut living), b"last words");
        assert_eq!(gateway.wait_for("connection closed")["reason"], reason);
        gateway.stop();
    }
}

#[test]
fn targets_take_turns_and_one_that_is_down_is_passed_over() {
    let (first, second) = (target(), target());
    let gateway = Gateway::before(&[first.1, second.1, nobody()], &[]);
    let connections: Vec<TcpStream> = (0..6).map(|_| gateway.connect()).collect();
    // Two turns each, and the two of the target that is down fall to the one after it.
    let at_first: Vec<TcpStream> = (0..4).map(|_| accept(&first.0)).collect();
    let at_second: Vec<TcpStream> = (0..2).map(|_| accept(&second.0)).collect();
    drop((connections, at_first, at_second));
    gateway.stop();
}

#[test]
fn connections_reach_the_target_in_the_order_in_which_they_were_opened() {
    let (listener, address) = target();
    let gateway = Gateway::before(&[address], &[]);
    for round in 0..10 {
        let opened: Vec<TcpStream> = (0..100_u8)
            .map(|number| {
                let mut connection = gateway.connect();
                connection.write_all(&[number]).unwrap();
                connection
            })
            .collect();
        for expected in 0..100 {
            let mut number = [0];
            accept(&listener).read_exact(&mut number).unwrap();
            assert_eq!(number, [expected], "round {round}");
        }
        drop(opened);
    }
    gateway.stop();
}

#[test]
fn every_listener_relays_by_address_and_by_name_over_ipv4_and_ipv6() {
    let (listener, address) = target();
    let by_name = format!("localhost:{}", address.port());
    let args = [
        "--listen",
        "0.0.0.0:0",
        "--listen",
        "[::]:0",
        "--listen",
        "127.0.0.1:0",
        "--plane",
        "copy",
        "--target",
        &by_name,
    ];
    let mut gateway = Gateway::start(&[], &args);
    let ports: Vec<u16> = gateway.listens.iter().map(|listen| listen.port()).collect();
    for (host, port) in [
        ("127.0.0.1", ports[0]),
        ("::1", ports[1]),
        ("127.0.0.1", ports[2]),
    ] {
        let mut producer = TcpStream::connect((host, port)).unwrap();
        let mut consumer = accept(&listener);
        producer.write_all(b"hello").unwrap();
        drop(producer);
        let mut got = String::new();
        consumer.read_to_string(&mut got).unwrap();
        assert_eq!(got, "hello");
        drop(consumer);
        gateway.wait_for("connection closed");
    }
    gateway.stop();
}

#[test]
fn bytes_sent_before_the_target_answers_arrive() {
    // The gateway's first target is silent: its backlog is full.
    let (silent, _waiting) = silent_target();
    let (listener, address) = target();
    let gateway = Gateway::before(&[silent, address], &["--connect-timeout", "1s"]);
    let mut producer = gateway.connect();
    producer.write_all(b"early").unwrap();
    producer.shutdown(Shutdown::Write).unwrap();
    let mut got = String::new();
    accept(&listener).read_to_string(&mut got).unwrap();
    assert_eq!(got, "early");
    gateway.stop();
}

#[test]
fn a_silent_target_is_given_up_in_time_and_the_peer_is_reset() {
    let (silent, _waiting) = silent_target();
    let mut gateway = Gateway::before(&[silent], &["--connect-timeout", "50ms"]);
    assert_eq!(read_until_reset(&mut gateway.connect()), b"");
    assert_eq!(
        gateway.wait_for("connection refused")["reason"],
        "upstream_timeout"
    );
    gateway.stop();
}

#[test]
fn a_peer_that_resets_while_its_target_is_dialled_is_noticed() {
    let (silent, _waiting) = silent_target();
    let mut gateway = Gateway::before(&[silent], &["--connect-timeout", "10m"]);
    reset(gateway.connect());
    assert_eq!(
        gateway.wait_for("connection refused")["reason"],
        "downstream_gone"
    );
    gateway.stop();
}

/// A target whose backlog is full, so that the kernel answers no more connections.
fn silent_target() -> (std::net::SocketAddr, Vec<Box<dyn std::any::Any>>) {
    let (listener, address) = target();
    // listen(2) again shrinks the backlog.
    rustix::net::listen(&listener, 0).unwrap();
    let mut held: Vec<Box<dyn std::any::Any>> = vec![Box::new(listener)];
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(Box::new(stream));
    }
    (address, held)
}

#[test]
fn an_idle_connection_is_reset_on_both_sides() {
    let (listener, address) = target();
    let mut gateway = Gateway::before(&[address], &["--idle-timeout", "100ms"]);
    let mut producer = gateway.connect();
    let mut consumer = accept(&listener);
    assert_eq!(read_until_reset(&mut producer), b"");
    assert_eq!(read_until_reset(&mut consumer), b"");
    assert_eq!(
        gateway.wait_for("connection closed")["reason"],
        "idle_timeout"
    );
    gateway.stop();
}

#[test]
fn totals_are_logged_at_their_interval() {
    let mut gateway = Gateway::before(&[echo()], &["--stats-interval", "50ms"]);
    let mut stream = gateway.connect();
    round_trip(&mut stream, &[1; 1000]);
    let deadline = std::time::Instant::now() + PATIENCE;
    let line = loop {
        let line = gateway.wait_for("stats");
        if line["copied"] == 2000 {
            break line;
        }
        assert!(std::time::Instant::now() < deadline, "{line}");
    };
    assert_eq!(
        (&line["connections"], &line["connections_total"]),
        (&1.into(), &1.into())
    );
    assert!(line["rate_gbps"].is_f64());
    drop(stream);
    gateway.stop();
}

#[test]
fn buffers_and_keepalive_are_set_on_both_legs() {
    let (listener, address) = target();
    let args = ["--sndbuf", "64k", "--rcvbuf", "32k", "--keepalive", "30s"];
    let gateway = Gateway::before(&[address], &args);
    let producer = gateway.connect();
    let consumer = accept(&listener);
    for peer in [&producer, &consumer] {
        // The gateway's own sockets are in its process; ss sees them by their ports.
        let ours = peer.peer_addr().unwrap();
        let theirs = peer.local_addr().unwrap();
        let filter = format!("src {ours} and dst {theirs}");
        let shown = std::process::Command::new("ss")
            .args(["-tonmH", &filter])
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(
            shown.contains("rb65536,") && shown.contains("tb131072,"),
            "{shown}"
        );
        assert!(shown.contains("timer:(keepalive,"), "{shown}");
    }
    drop((producer, consumer));
    gateway.stop();
}
