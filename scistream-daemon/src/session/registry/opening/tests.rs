//! What it takes to get a session, and what it is then.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::super::caller::{Caller, Quota};
use super::super::super::error::{Resource, SessionError};
use super::super::super::event::ChangeCode;
use super::super::super::exchange::Input;
use super::super::super::rate::{Rate, RateUse};
use super::super::super::request::{CreateSession, Greeting, Hello, Role};
use super::super::RegistryConfig;
use super::super::tests::{Bench, alice, awaited, config, id, mallory, targets};

#[test]
fn a_hello_that_comes_a_moment_early_is_kept_and_greets_the_session() {
    let mut bench = Bench::new();
    let (early, foreign) = (bench.hello(alice(), "s"), bench.hello(mallory(), "s"));
    assert_eq!((bench.said(early), bench.said(foreign)), ("-", "-"));
    let created = bench.create("s", awaited());
    assert_eq!((bench.said(created), bench.said(early)), ("ok", "ok"));
    assert_eq!(bench.said(foreign), "not_owner");
    assert_eq!(bench.view(created).announced, targets(&[7]));
}

#[test]
fn a_hello_that_nobody_waits_for_is_unknown_after_its_moment() {
    let mut bench = Bench::new();
    let early = bench.hello(alice(), "s");
    bench.wait(Duration::from_millis(999));
    assert_eq!(bench.said(early), "-");
    assert_eq!(
        bench.registry.next_deadline(),
        Some(bench.now + Duration::from_millis(1))
    );
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.said(early), "unknown");
}

#[test]
fn early_hellos_with_many_targets_are_fewer() {
    let mut bench = Bench::new();
    let mut hello_with = |number: usize| {
        let ticket = bench.ticket();
        bench.feed(Input::Hello {
            ticket,
            caller: alice(),
            id: id("s"),
            hello: Hello {
                role: Role::Producer,
                targets: targets(&vec![1; number]),
            },
        });
        bench.said(ticket)
    };
    for _ in 0..16 {
        assert_eq!(hello_with(1024), "-");
    }
    assert_eq!(hello_with(1), "unknown");
    assert_eq!(hello_with(1025), "bad_field");
}

#[test]
fn early_hellos_are_bounded() {
    let mut bench = Bench::new();
    let all: Vec<_> = (0..1025).map(|_| bench.hello(alice(), "s")).collect();
    assert_eq!(bench.said(all[1023]), "-");
    assert_eq!(bench.said(all[1024]), "unknown");
}

#[test]
fn numbers_of_listeners_beyond_the_pool_are_refused_by_name() {
    let mut bench = Bench::new();
    for listeners in [0, 11, 1_000_000_000] {
        let ticket = bench.create(
            "s",
            CreateSession {
                listeners,
                ..awaited()
            },
        );
        let error = bench.error(ticket);
        assert!(
            matches!(
                error,
                SessionError::BadField {
                    field: "num_conn",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_shortage_of_ports_says_what_is_left_and_when_to_come_again() {
    let mut bench = Bench::new();
    bench.create(
        "a",
        CreateSession {
            listeners: 7,
            ..awaited()
        },
    );
    let ticket = bench.create(
        "b",
        CreateSession {
            listeners: 4,
            ..awaited()
        },
    );
    let shortage = |retry_after| SessionError::Exhausted {
        what: Resource::Ports,
        wanted: 4,
        left: 3,
        retry_after,
    };
    assert_eq!(*bench.error(ticket), shortage(None));
    bench.release(alice(), "a", None);
    let ticket = bench.create(
        "b",
        CreateSession {
            listeners: 4,
            ..awaited()
        },
    );
    assert_eq!(*bench.error(ticket), shortage(Some(Duration::from_secs(5))));
    bench.wait(Duration::from_secs(5));
    let ticket = bench.create(
        "b",
        CreateSession {
            listeners: 4,
            ..awaited()
        },
    );
    assert_eq!(bench.said(ticket), "-");
}

#[test]
fn a_port_that_cannot_be_bound_is_skipped() {
    let mut bench = Bench::new();
    bench.blocked = vec![5100, 5102];
    let ticket = bench.create(
        "s",
        CreateSession {
            greeting: Greeting::NotNeeded,
            ..awaited()
        },
    );
    let ports: Vec<u16> = bench
        .view(ticket)
        .listeners
        .iter()
        .map(SocketAddr::port)
        .collect();
    assert_eq!(ports, [5103, 5101]);
    assert_eq!(
        bench
            .changes
            .iter()
            .filter(|code| **code == ChangeCode::PortSkipped)
            .count(),
        2
    );
}

#[test]
fn too_few_ports_that_can_be_bound_are_a_shortage_and_nothing_stays_open() {
    let mut bench = Bench::new();
    bench.blocked = (5101..=5109).collect();
    let ticket = bench.create("s", awaited());
    let error = bench.error(ticket);
    assert!(
        matches!(
            error,
            SessionError::Exhausted {
                what: Resource::Ports,
                wanted: 2,
                left: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!((bench.phase("s"), bench.closed.len()), ("gone", 1));
}

#[test]
fn a_repeated_create_gets_the_session_of_the_first() {
    let mut bench = Bench::new();
    let request = CreateSession {
        submission: Some("again".parse().unwrap()),
        ..awaited()
    };
    let first = bench.create("one", request.clone());
    let second = bench.create("two", request.clone());
    bench.feed(Input::CallerGone { ticket: first });
    assert_eq!(bench.phase("one"), "awaiting_hello");
    bench.hello(alice(), "one");
    let third = bench.create("three", request.clone());
    assert_eq!(
        (bench.said(second), bench.said(third)),
        ("existed", "existed")
    );
    assert_eq!(bench.view(third).id, id("one"));
    let other = bench.create(
        "four",
        CreateSession {
            listeners: 1,
            ..request.clone()
        },
    );
    assert_eq!(bench.said(other), "exists");
    let foreign = bench.create_as(mallory(), "five", request);
    assert_eq!((bench.said(foreign), bench.registry.len()), ("-", 2));
}

#[test]
fn reservations_are_admitted_against_the_capacity_and_come_back() {
    let mut bench = Bench::new();
    let scripted = CreateSession {
        rate: Some(Rate::from_kilobytes(10_000)),
        ..awaited()
    };
    bench.create("a", scripted.clone());
    bench.create("b", scripted.clone());
    let refused = bench.create("c", scripted.clone());
    let expected = SessionError::Exhausted {
        what: Resource::Bandwidth,
        wanted: 10_000_000,
        left: 5_000_000,
        retry_after: None,
    };
    assert_eq!(*bench.error(refused), expected);
    let best_effort = bench.create("d", awaited());
    assert_eq!(bench.said(best_effort), "-");
    bench.release(alice(), "a", None);
    let admitted = bench.create("c", scripted);
    assert_eq!(bench.said(admitted), "-");
}

#[test]
fn the_wires_rate_is_what_the_gateway_takes_it_for() {
    let scripted = CreateSession {
        rate: Some(Rate::from_kilobytes(10_000)),
        ..CreateSession::plain(Role::Producer)
    };
    let rate = Rate::from_kilobytes(10_000);
    for (rate_use, reserved, max_rate) in [
        (RateUse::Reserve, rate, None),
        (RateUse::Cap, Rate::ZERO, Some(rate)),
        (RateUse::Ignore, Rate::ZERO, None),
    ] {
        let mut bench = Bench::with(RegistryConfig {
            rate_use,
            ..config()
        });
        let ticket = bench.create("s", scripted.clone());
        let view = bench.view(ticket);
        assert_eq!(
            (view.reserved, view.max_rate),
            (reserved, max_rate),
            "{rate_use:?}"
        );
    }
}

#[test]
fn a_quota_bounds_sessions_rates_lifetimes_connections_and_sources() {
    let mut bench = Bench::new();
    let quota = Quota {
        sessions: Some(1),
        connections: Some(4),
        rate: Some(Rate::from_bits(1_000_000)),
        reserved: Some(Rate::from_bytes(10)),
        lifetime: Some(Duration::from_secs(60)),
        sources: Some(vec!["10.0.0.0/8".parse().unwrap()]),
    };
    let caller = Caller { quota, ..alice() };
    let outside = CreateSession {
        sources: vec!["192.0.2.0/24".parse().unwrap()],
        ..CreateSession::plain(Role::Consumer)
    };
    let ticket = bench.create_as(caller.clone(), "s", outside);
    assert_eq!(bench.said(ticket), "bad_field");
    let greedy = CreateSession {
        reserved: Some(Rate::from_bytes(11)),
        ..CreateSession::plain(Role::Consumer)
    };
    let ticket = bench.create_as(caller.clone(), "s", greedy);
    assert_eq!(bench.said(ticket), "exhausted");
    let ticket = bench.create_as(caller.clone(), "s", CreateSession::plain(Role::Consumer));
    let view = bench.view(ticket);
    assert_eq!(view.max_connections, Some(4));
    assert_eq!(view.max_rate, Some(Rate::from_bits(1_000_000)));
    assert_eq!(view.expires_in, Some(Duration::from_secs(60)));
    assert_eq!(view.sources.len(), 1);
    let ticket = bench.create_as(caller, "t", CreateSession::plain(Role::Consumer));
    assert_eq!(bench.said(ticket), "exhausted");
}
