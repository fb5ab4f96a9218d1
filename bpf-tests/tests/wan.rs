//! The emulated line keeps its promises: delay, order, every byte, chance as asked for, and counters
//! that add up.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bpf_tests::capability::Capability;
use bpf_tests::clock;
use bpf_tests::load;
use bpf_tests::require;
use bpf_tests::topology::{Family, LinkOptions, Published, TcpOptions, TwoGateways, TwoOptions};
use bpf_tests::traffic::{Pattern, Seed};
use bpf_tests::wan::{LineCounters, WanOptions};

const CHUNK: usize = 128 << 10;

fn two(wan: WanOptions, lan: LinkOptions) -> TwoGateways {
    let topology = TwoGateways::new(&TwoOptions { lan, wan }).unwrap();
    let path = TcpOptions::for_path(1_000_000_000, Duration::from_millis(144), "cubic");
    topology.tune(&path).unwrap();
    topology
}

/// A connection from producer to consumer, routed by both gateways.
fn dial(topology: &TwoGateways, family: Family) -> (TcpStream, TcpStream) {
    let consumer = &topology.consumer;
    let listener = load::listen(consumer.netns(), consumer.ip(family)).unwrap();
    let target = listener.local_addr().unwrap();
    load::join(topology.producer.netns(), target, &listener).unwrap()
}

/// Sends so many bytes of a pattern and checks each one that arrives.
fn carry(topology: &TwoGateways, family: Family, bytes: u64) {
    let (mut near, mut far) = dial(topology, family);
    let pattern = Pattern::new(bytes);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut chunk = vec![0; CHUNK];
            for offset in (0..bytes).step_by(CHUNK) {
                pattern.fill(offset, &mut chunk);
                near.write_all(&chunk).unwrap();
            }
        });
        let mut chunk = vec![0; CHUNK];
        let mut offset = 0;
        loop {
            let length = far.read(&mut chunk).unwrap();
            if length == 0 {
                break;
            }
            let found = pattern.check(offset, &chunk[..length]);
            assert!(found.is_ok(), "{}", found.unwrap_err());
            offset += length as u64;
        }
        assert_eq!(offset, bytes);
    });
}

fn shortest_round_trip(topology: &TwoGateways) -> Duration {
    let (near, far) = dial(topology, Family::V4);
    load::shortest_round_trip(&near, &far).unwrap()
}

/// What came in went out, and nothing failed. Asked again until nothing is under way: TCP's last
/// acknowledgements may be.
fn settled(topology: &TwoGateways) -> [LineCounters; 2] {
    loop {
        let counters = topology.wan_counters().unwrap().unwrap();
        let both = [counters.there, counters.back];
        if both.iter().all(|line| line.queued == 0) {
            return both;
        }
        std::thread::yield_now();
    }
}

#[test]
fn the_round_trip_is_what_was_asked_for() {
    require!(Capability::Netns);
    for path in [Published::ShortWan, Published::Wan, Published::LongWan] {
        let topology = TwoGateways::new(&path.options()).unwrap();
        let asked = path.round_trips().wan;
        let found = shortest_round_trip(&topology);
        let tolerance = (asked / 50).max(Duration::from_millis(1));
        assert!(found >= asked, "{path}: {found:?} is less than {asked:?}");
        assert!(
            found <= asked + tolerance,
            "{path}: {found:?} for {asked:?}"
        );
    }
}

#[test]
fn a_short_path_is_no_longer_than_published_by_a_millisecond() {
    require!(Capability::Netns);
    for path in [Published::Lan, Published::Metro] {
        let topology = TwoGateways::new(&path.options()).unwrap();
        assert_eq!(topology.wan().is_some(), path == Published::Metro);
        let found = shortest_round_trip(&topology);
        let most = path.round_trips().overall + Duration::from_millis(1);
        assert!(found <= most, "{path}: {found:?}");
    }
}

#[test]
fn every_byte_arrives_and_nothing_is_dropped() {
    require!(Capability::Netns);
    for (mtu, offloads) in [(1500, true), (9000, true), (1500, false)] {
        let lan = LinkOptions {
            mtu,
            offloads,
            ..LinkOptions::default()
        };
        let topology = two(WanOptions::new(Duration::from_millis(10)), lan);
        for family in Family::ALL {
            carry(&topology, family, 64 << 20);
        }
        for line in settled(&topology) {
            assert_eq!(line.drops, Default::default());
            assert_eq!(
                (line.delivered, line.delivered_bytes),
                (line.packets, line.bytes)
            );
            if !offloads {
                assert_eq!(line.segments, line.packets);
            }
        }
    }
}

#[test]
fn a_rough_line_loses_segments_and_tcp_mends_it() {
    require!(Capability::Netns);
    let seed = Seed::from_env().unwrap();
    println!("{}", seed.replay());
    let rough = WanOptions {
        loss: 0.001,
        reorder: 0.01,
        jitter: Duration::from_micros(300),
        seed: seed.derive(),
        ..WanOptions::new(Duration::from_millis(4))
    };
    let topology = two(rough, LinkOptions::default());
    for family in Family::ALL {
        carry(&topology, family, 64 << 20);
    }
    let [there, _] = settled(&topology);
    let lost = there.drops.lost_segments as f64 / there.segments as f64;
    // 90,000 segments: 90 losses expected, within five standard deviations.
    assert!((0.0005..0.0015).contains(&lost), "{there:?}");
    assert_eq!(there.drops.failures(), 0, "{there:?}");
    // Segments are lost, not the packets of dozens of them that they come in.
    assert!(there.delivered > there.packets, "{there:?}");
}

#[test]
fn a_capped_line_drops_what_its_queue_cannot_hold() {
    require!(Capability::Netns);
    let capped = WanOptions {
        rate: Some(200_000_000),
        queue: Duration::from_millis(5),
        ..WanOptions::new(Duration::from_millis(40))
    };
    let topology = two(capped, LinkOptions::default());
    let start = clock::now();
    carry(&topology, Family::V4, 16 << 20);
    let took = Duration::from_nanos(clock::now() - start);
    // 16 MiB in segments of 1448 bytes, 1538 on the wire, cannot take less time than this.
    let least = Duration::from_secs_f64(f64::from(16 << 20) / 1448.0 * 1538.0 * 8.0 / 200e6);
    assert!(took >= least, "{took:?} instead of {least:?}");
    let [there, _] = settled(&topology);
    assert!(there.drops.overflowed > 0, "{there:?}");
    assert_eq!(there.drops.failures(), 0, "{there:?}");
}

#[test]
fn options_that_make_no_sense_are_refused_with_a_reason() {
    require!(Capability::Netns);
    let line = WanOptions::new(Duration::from_millis(10));
    let bad = [
        (
            WanOptions {
                loss: 1.5,
                ..line.clone()
            },
            "loss",
        ),
        (
            WanOptions {
                reorder: f64::NAN,
                ..line.clone()
            },
            "reordering",
        ),
        (
            WanOptions {
                rate: Some(0),
                ..line
            },
            "0 bits per second",
        ),
    ];
    for (wan, word) in bad {
        let lan = LinkOptions::default();
        let refused = TwoGateways::new(&TwoOptions { lan, wan }).unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

#[test]
fn lines_side_by_side_do_not_meet_and_nothing_is_left_of_them() {
    require!(Capability::Netns);
    let line = || WanOptions::new(Duration::from_millis(2));
    let one = two(line(), LinkOptions::default());
    let other = two(line(), LinkOptions::default());
    carry(&one, Family::V4, 1 << 20);
    carry(&other, Family::V6, 1 << 20);
    let names = [&one, &other].map(|lab| lab.hosts().map(|host| host.netns().name().to_owned()));
    assert!(one.wan().unwrap().cpu_time().unwrap() > Duration::ZERO);
    drop((one, other));
    for name in names.as_flattened() {
        assert!(
            !std::fs::exists(format!("/run/netns/{name}")).unwrap(),
            "{name}"
        );
    }
}
