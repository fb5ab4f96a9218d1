//! The generator between two processes: every load arrives whole and is counted right, over TCP and
//! UDP, and what is wrong is said.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use bpf_tests::capability::Capability;
use bpf_tests::generator::{
    Load, Pace, Profile, Protocol, Receive, Receiver, Report, SendReport, Sender,
};
use bpf_tests::netns::Place;
use bpf_tests::require;
use bpf_tests::topology::{Family, LinkOptions, TwoGateways, TwoOptions};
use bpf_tests::wan::WanOptions;

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_traffic"))
}

fn short(load: Load) -> Load {
    let duration = Duration::from_millis(300);
    Load { duration, ..load }
}

fn receive(load: &Load, listen: SocketAddr) -> Receive {
    Receive {
        protocol: load.protocol,
        streams: load.streams,
        ..Receive::new(listen)
    }
}

fn run(load: &Load, listen: SocketAddr) -> (SendReport, Report) {
    let receiver = Receiver::start(binary(), Place::Here, &receive(load, listen)).unwrap();
    let sender = Sender::start(binary(), Place::Here, load, receiver.address()).unwrap();
    (sender.finish().unwrap(), receiver.finish().unwrap())
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

#[test]
fn every_profile_arrives_whole() {
    for profile in Profile::ALL {
        let (sent, report) = run(&short(profile.load()), loopback());
        assert_eq!(report.messages, sent.messages, "{profile:?}");
        // The end of each stream is a header without a message.
        assert_eq!(report.bytes, sent.bytes + 64, "{profile:?}");
        assert_eq!(report.perceived_delay.count, sent.messages);
        assert!(report.goodput > 0.0 && sent.abandoned == 0, "{sent:?}");
    }
}

#[test]
fn sizes_and_numbers_of_streams_from_the_least_to_the_most() {
    let listen = (Ipv6Addr::LOCALHOST, 0).into();
    for (streams, message_size) in [(1, 64), (3, 512), (8, 131_073), (2, 4 << 20), (128, 4_096)] {
        let load = short(Load {
            streams,
            message_size,
            pace: Pace::Bursts {
                messages: 2,
                every: Duration::from_millis(100),
            },
            ..Load::default()
        });
        let (sent, report) = run(&load, listen);
        let expected = u64::from(streams) * 6;
        assert_eq!((sent.messages, report.messages), (expected, expected));
        assert_eq!(report.per_stream.len(), usize::from(streams));
        assert!(report.per_stream.iter().all(|stream| stream.messages == 6));
    }
}

#[test]
fn a_rate_is_a_schedule_and_not_an_answer_to_the_network() {
    let load = Load {
        message_size: 10_000,
        pace: Pace::Rate {
            bits_per_second: 80_000_000,
        },
        streams: 4,
        ..Load::default()
    };
    let (sent, _) = run(&short(load), loopback());
    // 1,000 messages per second, whatever happened to them.
    assert_eq!(sent.messages, 300);
}

#[test]
fn datagrams_are_counted_by_their_fate() {
    require!(Capability::Netns);
    let rough = WanOptions {
        loss: 0.02,
        reorder: 0.05,
        ..WanOptions::new(Duration::from_millis(2))
    };
    let topology = TwoGateways::new(&TwoOptions {
        lan: LinkOptions::default(),
        wan: rough,
    })
    .unwrap();
    let load = Load {
        protocol: Protocol::Udp,
        streams: 2,
        message_size: 16_384,
        pace: Pace::Rate {
            bits_per_second: 200_000_000,
        },
        ..Load::default()
    };
    let load = short(load);
    let listen = SocketAddr::new(topology.consumer.ip(Family::V4), 0);
    let options = receive(&load, listen);
    let receiver = Receiver::start(binary(), topology.consumer.netns(), &options).unwrap();
    let place = topology.producer.netns();
    let sender = Sender::start(binary(), place, &load, receiver.address()).unwrap();
    let (sent, report) = (sender.finish().unwrap(), receiver.finish().unwrap());
    let datagrams = report.datagrams.unwrap();
    let line = topology.wan_counters().unwrap().unwrap().there;
    // 13 datagrams for each message. The line lost some of them, or of the five ends of a stream.
    assert_eq!(datagrams.received + datagrams.lost, sent.messages * 13);
    assert!(
        datagrams.lost > 0 && datagrams.lost <= line.drops.lost_segments,
        "{datagrams:?}"
    );
    assert!(
        datagrams.lost + 10 >= line.drops.lost_segments,
        "{datagrams:?} {line:?}"
    );
    assert!(datagrams.reordered > 0, "{datagrams:?}");
    assert_eq!(
        report.messages + datagrams.incomplete_messages,
        sent.messages
    );
}

/// Passes one connection on and changes it with `change`, told how many bytes passed before.
fn meddle(change: impl Fn(usize, &mut Vec<u8>) + Send) -> String {
    let load = short(Load {
        message_size: 100_000,
        pace: Pace::Rate {
            bits_per_second: 80_000_000,
        },
        ..Load::default()
    });
    let receiver = Receiver::start(binary(), Place::Here, &receive(&load, loopback())).unwrap();
    let between = TcpListener::bind(loopback()).unwrap();
    let dialled = between.local_addr().unwrap();
    let _sender = Sender::start(binary(), Place::Here, &load, dialled).unwrap();
    let (mut from, _) = between.accept().unwrap();
    let mut to = TcpStream::connect(receiver.address()).unwrap();
    let mut passed = 0;
    let mut buffer = vec![0; 1_000];
    loop {
        let length = from.read(&mut buffer).unwrap();
        let mut bytes = buffer[..length].to_vec();
        change(passed, &mut bytes);
        passed += length;
        // A receiver that has seen enough goes away.
        if length == 0 || to.write_all(&bytes).is_err() {
            break;
        }
    }
    drop(to);
    receiver.finish().unwrap_err().to_string()
}

#[test]
fn a_changed_byte_on_the_way_fails_the_run_and_is_named() {
    let words = meddle(|passed, bytes| {
        let place = 150_000_usize;
        if (passed..passed + bytes.len()).contains(&place) {
            bytes[place - passed] ^= 1;
        }
    });
    assert!(
        words.contains("stream 0, message 1: byte 50000 is"),
        "{words}"
    );
}

#[test]
fn a_lost_byte_on_the_way_fails_the_run() {
    let words = meddle(|passed, bytes| {
        if passed > 250_000 && passed <= 251_000 {
            bytes.pop();
        }
    });
    assert!(words.contains("stream 0, message 2"), "{words}");
}

#[test]
fn nobody_at_the_other_end_is_said() {
    let unused = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    let sender = Sender::start(binary(), Place::Here, &Load::default(), unused).unwrap();
    let words = sender.finish().unwrap_err().to_string();
    assert!(words.contains(&format!("cannot dial {unused}")), "{words}");
}
