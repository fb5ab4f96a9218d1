//! The ways out, and what is free again after them.

use std::time::Duration;

use super::super::super::event::ChangeCode;
use super::super::super::exchange::Input;
use super::super::super::request::{CreateSession, Greeting, Role};
use super::super::RegistryConfig;
use super::super::tests::{Bench, DRAIN, alice, at, awaited, config, targets};

#[test]
fn a_uid_can_be_used_again_after_its_release() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.create("demo", awaited());
        let ticket = bench.release(alice(), "demo", None);
        assert_eq!(bench.said(ticket), "ok");
    }
}

#[test]
fn a_small_pool_serves_any_number_of_sessions() {
    let mut bench = Bench::new();
    for number in 0..100 {
        let name = format!("s{number}");
        let created = bench.create(
            &name,
            CreateSession {
                listeners: 10,
                ..CreateSession::plain(Role::Consumer)
            },
        );
        assert_eq!(bench.said(created), "ok", "{name}");
        bench.release(alice(), &name, None);
        bench.wait(config().port_rest);
    }
}

#[test]
fn a_session_ends_with_its_lifetime_and_without_bytes() {
    let mut bench = Bench::new();
    let request = CreateSession {
        lifetime: Some(Duration::from_secs(100)),
        idle_timeout: Some(Duration::from_secs(40)),
        ..CreateSession::plain(Role::Consumer)
    };
    bench.create("lives", request.clone());
    bench.create("idles", request);
    let key = bench.key("lives");
    for _ in 0..3 {
        bench.wait(Duration::from_secs(30));
        bench.feed(Input::Moved { key });
    }
    assert_eq!(
        (bench.phase("lives"), bench.phase("idles")),
        ("ready", "gone")
    );
    bench.wait(Duration::from_secs(10));
    assert_eq!(bench.phase("lives"), "gone");
    let ends = |code| {
        bench
            .changes
            .iter()
            .filter(|change| **change == code)
            .count()
    };
    assert_eq!(
        (
            ends(ChangeCode::IdleExpired),
            ends(ChangeCode::LifetimeExpired)
        ),
        (1, 1)
    );
}

#[test]
fn times_beyond_any_clock_are_no_limit() {
    let mut bench = Bench::new();
    let ticket = bench.create(
        "s",
        CreateSession {
            lifetime: Some(Duration::MAX),
            idle_timeout: Some(Duration::MAX),
            greeting: Greeting::Awaited(Some(Duration::MAX)),
            ..CreateSession::plain(Role::Consumer)
        },
    );
    let released = bench.release(alice(), "s", Some(Duration::MAX));
    assert_eq!((bench.said(ticket), bench.said(released)), ("ended", "ok"));
    for time in [Some(Duration::ZERO), None] {
        let request = CreateSession {
            lifetime: time,
            ..awaited()
        };
        let ticket = bench.create("t", request);
        assert_eq!(
            bench.said(ticket),
            if time.is_some() { "bad_field" } else { "-" }
        );
    }
}

#[test]
fn a_gateway_that_stops_takes_no_sessions_and_ends_those_there_are() {
    let (mut bench, _) = at("forwarding");
    let waiting = bench.create("t", awaited());
    bench.feed(Input::Drain { limit: Some(DRAIN) });
    assert_eq!((bench.phase("s"), bench.phase("t")), ("draining", "gone"));
    assert_eq!(bench.said(waiting), "ended");
    let late = bench.create("u", awaited());
    assert_eq!(bench.said(late), "stopping");
    bench.wait(DRAIN);
    assert!(bench.registry.is_empty());
}

#[test]
fn the_ports_of_a_draining_session_are_free_and_its_release_is_answered() {
    let mut bench = Bench::with(RegistryConfig {
        ports: 5100..=5101,
        port_rest: Duration::ZERO,
        ..config()
    });
    bench.create(
        "s",
        CreateSession {
            targets: targets(&[1]),
            ..awaited()
        },
    );
    let key = bench.key("s");
    bench.busy.push(key);
    let released = bench.release(alice(), "s", Some(DRAIN));
    assert_eq!((bench.said(released), bench.phase("s")), ("ok", "draining"));
    let next = bench.create("t", awaited());
    assert_eq!(bench.said(next), "-");
}
