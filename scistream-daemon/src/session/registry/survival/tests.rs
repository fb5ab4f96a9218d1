//! What comes back after a restart, as what, and what does not.

use std::sync::Arc;
use std::time::Duration;

use super::super::super::event::ChangeCode;
use super::super::super::exchange::{Input, Terms};
use super::super::super::rate::Rate;
use super::super::super::request::{CreateSession, Role};
use super::super::super::saved::SavedSession;
use super::super::super::view::SessionView;
use super::super::tests::{
    Bench, DRAIN, HELLO, admin, alice, at, awaited, config, id, mallory, targets,
};
use super::super::{Registry, RegistryConfig};

const DOWN: Duration = Duration::from_secs(20);

/// The next run of a gateway, `DOWN` later.
fn restart(bench: &Bench, config: RegistryConfig) -> Bench {
    restart_with(bench.registry.saved(), bench, config)
}

fn restart_with(saved: Vec<SavedSession>, before: &Bench, config: RegistryConfig) -> Bench {
    let mut next = Bench::with(config);
    next.now = before.now + DOWN;
    next.next_ticket = before.next_ticket;
    for saved in saved {
        let saved = Box::new(saved);
        next.feed(Input::Restore { saved });
    }
    next
}

fn shown(bench: &Bench, name: &str) -> SessionView {
    bench
        .registry
        .show(&admin(), &id(name), bench.now)
        .unwrap()
        .1
}

/// A session that forwards, with everything that can be asked for.
fn rich() -> CreateSession {
    CreateSession {
        listeners: 3,
        rate: Some(Rate::from_kilobytes(10_000)),
        max_rate: Some(Rate::from_kilobytes(20_000)),
        targets: targets(&[1, 2]),
        label: Some("Größe 7".parse().unwrap()),
        submission: Some("again".parse().unwrap()),
        lifetime: Some(Duration::from_secs(100)),
        idle_timeout: Some(Duration::from_secs(50)),
        sources: vec!["192.0.2.0/24".parse().unwrap()],
        max_connections: Some(7),
        ..CreateSession::plain(Role::Consumer)
    }
}

#[test]
fn a_session_comes_back_as_it_was_and_its_times_went_on() {
    let mut bench = Bench::new();
    bench.create("s", rich());
    bench.wait(Duration::from_secs(10));
    let before = shown(&bench, "s");
    let next = restart(&bench, config());
    let after = shown(&next, "s");
    assert_eq!(after.age, before.age + DOWN);
    assert_eq!(after.expires_in, before.expires_in.map(|left| left - DOWN));
    assert_eq!(next.targets, ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:1"]);
    let same = SessionView {
        age: before.age,
        expires_in: before.expires_in,
        sentence: before.sentence.clone(),
        ..after
    };
    assert_eq!(same, before);
    assert_eq!(next.changes, [ChangeCode::Restored]);
}

#[test]
fn deadlines_count_from_before_the_restart() {
    let mut bench = Bench::new();
    bench.create("s", rich());
    let mut next = restart(&bench, config());
    next.wait(Duration::from_secs(29));
    assert_eq!(next.phase("s"), "forwarding");
    next.wait(Duration::from_secs(1));
    assert_eq!(next.phase("s"), "gone", "50 s without a byte are over");
    for (limit, code) in [
        (DOWN, ChangeCode::LifetimeExpired),
        (DOWN + Duration::from_secs(1), ChangeCode::Restored),
    ] {
        let mut bench = Bench::new();
        let request = CreateSession {
            lifetime: Some(limit),
            ..CreateSession::plain(Role::Consumer)
        };
        bench.create("s", request);
        assert_eq!(restart(&bench, config()).changes, [code]);
        let request = CreateSession {
            idle_timeout: Some(DOWN),
            ..CreateSession::plain(Role::Consumer)
        };
        let mut bench = Bench::new();
        bench.create("s", request);
        let next = restart(&bench, config());
        assert_eq!(next.changes, [ChangeCode::IdleExpired]);
        assert!(next.registry.is_empty());
    }
}

#[test]
fn only_what_is_ready_or_forwards_comes_back() {
    for (phase, comes_back) in [
        ("awaiting_hello", false),
        ("ready", true),
        ("forwarding", true),
        ("draining", false),
        ("ending", false),
        ("gone", false),
    ] {
        let (bench, _) = at(phase);
        let next = restart(&bench, config());
        let expected = if comes_back { phase } else { "gone" };
        assert_eq!(next.phase("s"), expected, "{phase}");
    }
}

#[test]
fn a_repeated_create_finds_its_session_after_a_restart_and_others_cannot_touch_it() {
    let mut bench = Bench::new();
    bench.create("s", rich());
    let mut next = restart(&bench, config());
    let again = next.create("s", rich());
    assert_eq!(next.said(again), "existed");
    let other = next.create("s", awaited());
    assert_eq!(next.said(other), "exists");
    let denied = next.release(mallory(), "s", None);
    assert_eq!(next.said(denied), "not_owner");
    let released = next.release(alice(), "s", None);
    assert_eq!(next.said(released), "ok");
    assert!(next.registry.saved().is_empty());
}

#[test]
fn a_session_whose_port_is_taken_is_lost_and_gets_no_other() {
    let mut bench = Bench::new();
    bench.create("first", CreateSession::plain(Role::Consumer));
    bench.create("second", awaited());
    bench.hello(alice(), "second");
    let saved = bench.registry.saved();
    let mut next = Bench::with(config());
    next.now = bench.now;
    // The second of its two ports.
    next.blocked.push(saved[1].ports[1]);
    for saved in saved {
        let saved = Box::new(saved);
        next.feed(Input::Restore { saved });
    }
    assert_eq!(
        (next.phase("first"), next.phase("second")),
        ("ready", "gone")
    );
    assert_eq!(
        next.changes,
        [ChangeCode::Restored, ChangeCode::Lost, ChangeCode::Closed]
    );
    assert_eq!(next.registry.saved().len(), 1);
    assert_eq!(next.registry.census(next.now).ports_used, 1);
}

#[test]
fn what_the_settings_no_longer_allow_is_lost() {
    let mut bench = Bench::new();
    bench.create("s", rich());
    for narrower in [
        RegistryConfig {
            ports: 5200..=5300,
            ..config()
        },
        RegistryConfig {
            max_sessions: 0,
            ..config()
        },
        RegistryConfig {
            capacity: Some(Rate::from_kilobytes(9_999)),
            ..config()
        },
    ] {
        let next = restart(&bench, narrower.clone());
        assert_eq!(next.changes, [ChangeCode::Lost], "{narrower:?}");
        assert!(next.registry.is_empty());
        let census = next.registry.census(next.now);
        assert_eq!((census.ports_used, census.reserved), (0, Rate::ZERO));
    }
    let wider = RegistryConfig {
        ports: 0..=0,
        capacity: None,
        ..config()
    };
    assert_eq!(restart(&bench, wider).phase("s"), "forwarding");
}

#[test]
fn a_record_that_does_not_add_up_or_comes_twice_is_lost() {
    let mut bench = Bench::new();
    bench.create("s", rich());
    let saved = bench.registry.saved().remove(0);
    let short = SavedSession {
        ports: saved.ports[..2].to_vec(),
        ..saved.clone()
    };
    let twice = SavedSession {
        ports: vec![saved.ports[0]; 3],
        ..saved.clone()
    };
    // Its uid, and its key under another uid, each on ports of its own.
    let of_the_uid = SavedSession {
        ports: vec![5105, 5106, 5107],
        request: Arc::new(CreateSession {
            submission: None,
            ..(*saved.request).clone()
        }),
        ..saved.clone()
    };
    let of_the_key = SavedSession {
        ports: vec![5105, 5106, 5107],
        terms: Arc::new(Terms {
            id: id("other"),
            ..(*saved.terms).clone()
        }),
        ..saved.clone()
    };
    let any = RegistryConfig {
        ports: 0..=0,
        ..config()
    };
    for config in [config(), any] {
        let again = [saved.clone(), of_the_uid.clone(), of_the_key.clone()];
        let all = [vec![short.clone(), twice.clone()], again.to_vec()].concat();
        let next = restart_with(all, &bench, config);
        let lost = ChangeCode::Lost;
        assert_eq!(next.changes, [lost, lost, ChangeCode::Restored, lost, lost]);
        assert_eq!(next.registry.len(), 1);
    }
}

#[test]
fn a_gateway_that_ends_keeps_its_sessions_and_one_that_is_drained_does_not() {
    let (mut bench, _) = at("forwarding");
    bench.create("waits", awaited());
    bench.feed(Input::Suspend { limit: Some(DRAIN) });
    assert_eq!(
        (bench.phase("s"), bench.phase("waits")),
        ("draining", "gone")
    );
    bench.wait(DRAIN);
    assert_eq!(bench.phase("s"), "gone");
    assert_eq!(restart(&bench, config()).phase("s"), "forwarding");
    // Whoever waits no longer tells it to end at once.
    bench.feed(Input::Suspend { limit: None });
    assert_eq!(bench.registry.saved().len(), 1);

    bench.feed(Input::Drain { limit: None });
    assert!(bench.registry.saved().is_empty());
    let (mut bench, _) = at("forwarding");
    bench.feed(Input::Drain { limit: Some(DRAIN) });
    assert!(bench.registry.saved().is_empty());
}

#[test]
fn a_release_while_the_gateway_ends_is_for_good() {
    for drained in [false, true] {
        let (mut bench, _) = at("forwarding");
        bench.feed(Input::Suspend { limit: Some(DRAIN) });
        if drained {
            bench.wait(DRAIN);
        }
        let before = bench.registry.revision();
        let unknown = bench.release(alice(), "another", None);
        assert_eq!(bench.said(unknown), "unknown");
        let denied = bench.release(mallory(), "s", None);
        assert_eq!(bench.said(denied), "not_owner");
        let released = bench.release(alice(), "s", None);
        assert_eq!(bench.said(released), "ok");
        assert!(bench.registry.saved().is_empty());
        assert_ne!(
            bench.registry.revision(),
            before,
            "the file is written again"
        );
    }
}

#[test]
fn a_hello_that_comes_while_listeners_are_bound_again_is_answered() {
    let (bench, _) = at("ready");
    let mut next = Bench::with(config());
    next.now = bench.now + HELLO;
    let saved = Box::new(bench.registry.saved().remove(0));
    let outputs = next.registry.handle(Input::Restore { saved }, next.now);
    let early = next.hello(alice(), "s");
    assert_eq!(next.said(early), "-");
    let mut inputs = std::collections::VecDeque::new();
    for output in outputs {
        next.carry_out(output, &mut inputs);
    }
    for input in inputs {
        next.feed(input);
    }
    assert_eq!(next.said(early), "ok");
    assert_eq!(next.phase("s"), "ready");
}

#[test]
fn a_census_counts_everything_once() {
    let mut bench = Bench::with(RegistryConfig {
        ports: 5100..=5109,
        ..config()
    });
    let registry = Registry::new(config());
    assert_eq!(registry.census(bench.now).ports_free, Some(10));
    bench.create("a", rich());
    bench.create("b", awaited());
    let census = bench.registry.census(bench.now);
    assert_eq!(census.sessions, [0, 1, 0, 1, 0, 0, 0]);
    assert_eq!((census.ports_used, census.ports_free), (5, Some(5)));
    assert_eq!(census.left, Some(Rate::from_kilobytes(15_000)));
    bench.release(alice(), "b", None);
    let census = bench.registry.census(bench.now);
    assert_eq!(
        (census.ports_used, census.ports_free, census.ports_resting),
        (3, Some(5), Some(2))
    );
}
