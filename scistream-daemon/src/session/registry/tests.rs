//! Every call in every phase, and the promises one by one.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use super::super::caller::Quota;
use super::super::error::{Resource, Unavailable};
use super::super::request::{CreateSession, Greeting, Hello, Role};
use super::super::target::Target;
use super::*;

/// A registry whose outputs are carried out at once, with callers that keep their answers.
struct Bench {
    registry: Registry,
    now: Instant,
    next_ticket: u64,
    answers: HashMap<Ticket, Result<Box<Answer>, SessionError>>,
    changes: Vec<ChangeCode>,
    targets: Vec<String>,
    /// Ports that another program has.
    blocked: Vec<u16>,
    /// Sessions with a connection that does not end by itself.
    busy: Vec<SessionKey>,
    closed: Vec<SessionKey>,
}

const HELLO: Duration = Duration::from_secs(180);
const DRAIN: Duration = Duration::from_secs(30);

fn config() -> RegistryConfig {
    RegistryConfig {
        ports: 5100..=5109,
        port_rest: Duration::from_secs(5),
        max_sessions: 100,
        max_connections: None,
        hello_timeout: HELLO,
        early_hello: Duration::from_secs(1),
        lifetime: None,
        idle_timeout: None,
        rate_use: RateUse::Reserve,
        capacity: Some(Rate::from_kilobytes(25_000)),
    }
}

fn alice() -> Caller {
    Caller::unlimited(Principal::new("alice"))
}

fn mallory() -> Caller {
    Caller::unlimited(Principal::new("mallory"))
}

fn admin() -> Caller {
    Caller {
        admin: true,
        ..Caller::unlimited(Principal::new("root"))
    }
}

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

fn targets(ports: &[u16]) -> Vec<Target> {
    let address = |port: &u16| SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), *port)).into();
    ports.iter().map(address).collect()
}

fn hello() -> Hello {
    Hello {
        role: Role::Producer,
        targets: targets(&[7]),
    }
}

/// As a `req` asks.
fn awaited() -> CreateSession {
    CreateSession {
        greeting: Greeting::Awaited(None),
        listeners: 2,
        ..CreateSession::plain(Role::Producer)
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(config())
    }

    fn with(config: RegistryConfig) -> Self {
        Self {
            registry: Registry::new(config),
            now: Instant::now(),
            next_ticket: 0,
            answers: HashMap::new(),
            changes: Vec::new(),
            targets: Vec::new(),
            blocked: Vec::new(),
            busy: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.registry.handle(input, self.now) {
                self.carry_out(output, &mut inputs);
            }
        }
    }

    fn carry_out(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
        match output {
            Output::Prepare { .. } => {}
            Output::OpenListener { key, index, port } if self.blocked.contains(&port) => {
                let cause = "in use".to_owned();
                inputs.push_back(Input::BindFailed { key, index, cause });
            }
            Output::OpenListener { key, index, port } => {
                let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                inputs.push_back(Input::Bound { key, index, listen });
            }
            Output::SetTargets { targets, .. } => {
                self.targets = targets.iter().map(Target::to_string).collect();
            }
            Output::CloseListeners { key } => {
                self.closed.push(key);
                inputs.push_back(Input::ListenersClosed { key });
                if !self.busy.contains(&key) {
                    inputs.push_back(Input::Settled { key });
                }
            }
            Output::EndConnections { key } => {
                self.busy.retain(|busy| *busy != key);
                if self.closed.contains(&key) {
                    inputs.push_back(Input::Settled { key });
                }
            }
            Output::Answer { ticket, answer } => {
                let twice = self.answers.insert(ticket, answer);
                assert!(twice.is_none(), "{ticket:?} is answered twice");
            }
            Output::Record(change) => self.changes.push(change.code),
        }
    }

    fn create_as(&mut self, caller: Caller, name: &str, request: CreateSession) -> Ticket {
        let ticket = self.ticket();
        self.feed(Input::Create {
            ticket,
            caller,
            id: id(name),
            request: Box::new(request),
        });
        ticket
    }

    fn create(&mut self, name: &str, request: CreateSession) -> Ticket {
        self.create_as(alice(), name, request)
    }

    fn hello(&mut self, caller: Caller, name: &str) -> Ticket {
        let ticket = self.ticket();
        let (id, hello) = (id(name), hello());
        self.feed(Input::Hello {
            ticket,
            caller,
            id,
            hello,
        });
        ticket
    }

    fn update(&mut self, caller: Caller, name: &str, ports: &[u16]) -> Ticket {
        let ticket = self.ticket();
        let (id, targets) = (id(name), targets(ports));
        self.feed(Input::Update {
            ticket,
            caller,
            id,
            targets,
        });
        ticket
    }

    fn release(&mut self, caller: Caller, name: &str, drain: Option<Duration>) -> Ticket {
        let ticket = self.ticket();
        let id = id(name);
        self.feed(Input::Release {
            ticket,
            caller,
            id,
            drain,
        });
        ticket
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.feed(Input::Tick);
    }

    fn phase(&self, name: &str) -> &'static str {
        let shown = self.registry.show(&admin(), &id(name), self.now);
        shown.map_or("gone", |(_, view)| view.phase.as_str())
    }

    fn key(&self, name: &str) -> SessionKey {
        self.registry.show(&admin(), &id(name), self.now).unwrap().0
    }

    /// What a ticket was answered: `-` for nothing yet.
    fn said(&self, ticket: Ticket) -> &'static str {
        match self.answers.get(&ticket) {
            None => "-",
            Some(Ok(answer)) if answer.existed => "existed",
            Some(Ok(_)) => "ok",
            Some(Err(error)) => name(error),
        }
    }

    fn error(&self, ticket: Ticket) -> &SessionError {
        self.answers[&ticket].as_ref().unwrap_err()
    }

    fn view(&self, ticket: Ticket) -> &SessionView {
        &self.answers[&ticket].as_ref().unwrap().session
    }
}

fn name(error: &SessionError) -> &'static str {
    match error {
        SessionError::BadField { .. } => "bad_field",
        SessionError::Ended { .. } => "ended",
        SessionError::Exhausted { .. } => "exhausted",
        SessionError::Exists { .. } => "exists",
        SessionError::HelloTimeout { .. } => "hello_timeout",
        SessionError::NotOwner { .. } => "not_owner",
        SessionError::Unavailable(Unavailable::Draining(_)) => "draining",
        SessionError::Unavailable(Unavailable::Stopping) => "stopping",
        SessionError::Unavailable(Unavailable::Target { .. }) => "target",
        SessionError::Unknown { .. } => "unknown",
    }
}

/// A session called `s` that has come as far as `phase`, and the ticket of its create.
fn at(phase: &str) -> (Bench, Ticket) {
    let mut bench = Bench::new();
    let ticket = bench.create("s", awaited());
    match phase {
        "awaiting_hello" => {}
        "ready" => _ = bench.hello(alice(), "s"),
        "forwarding" | "draining" | "ending" => {
            bench.hello(alice(), "s");
            bench.update(alice(), "s", &[1]);
            let key = bench.key("s");
            bench.busy.push(key);
            match phase {
                "draining" => _ = bench.release(alice(), "s", Some(DRAIN)),
                "ending" => {
                    // Its connections take their time to go.
                    let ticket = bench.ticket();
                    let input = Input::Release {
                        ticket,
                        caller: alice(),
                        id: id("s"),
                        drain: None,
                    };
                    let _not_carried_out = bench.registry.handle(input, bench.now);
                    bench
                        .registry
                        .handle(Input::ListenersClosed { key }, bench.now);
                }
                _ => {}
            }
        }
        "gone" => _ = bench.release(alice(), "s", None),
        _ => unreachable!(),
    }
    assert_eq!(bench.phase("s"), phase);
    (bench, ticket)
}

/// What each call is answered in each phase, what the create is told by it, and the phase after.
const CALLS: &str = "
awaiting_hello create=exists/-/awaiting_hello hello=ok/ok/ready update=ok/ok/forwarding release=ok/ended/gone drain=ok/ended/gone gone=-/-/gone time=-/hello_timeout/gone
ready          create=exists/ok/ready hello=ok/ok/ready update=ok/ok/forwarding release=ok/ok/gone drain=ok/ok/gone gone=-/ok/ready time=-/ok/ready
forwarding     create=exists/ok/forwarding hello=ok/ok/forwarding update=ok/ok/forwarding release=ok/ok/gone drain=ok/ok/draining gone=-/ok/forwarding time=-/ok/forwarding
draining       create=exists/ok/draining hello=draining/ok/draining update=draining/ok/draining release=ok/ok/gone drain=ok/ok/draining gone=-/ok/draining time=-/ok/gone
ending         create=exists/ok/ending hello=draining/ok/ending update=draining/ok/ending release=-/ok/ending drain=-/ok/ending gone=-/ok/ending time=-/ok/ending
gone           create=-/ended/awaiting_hello hello=-/ended/gone update=unknown/ended/gone release=unknown/ended/gone drain=unknown/ended/gone gone=-/ended/gone time=-/ended/gone
";

#[test]
fn every_call_has_its_answer_in_every_phase() {
    let mut table = String::from("\n");
    for phase in [
        "awaiting_hello",
        "ready",
        "forwarding",
        "draining",
        "ending",
        "gone",
    ] {
        table += &format!("{phase:<14}");
        for call in [
            "create", "hello", "update", "release", "drain", "gone", "time",
        ] {
            let (mut bench, created) = at(phase);
            let ticket = match call {
                "create" => bench.create("s", awaited()),
                "hello" => bench.hello(alice(), "s"),
                "update" => bench.update(alice(), "s", &[1, 2]),
                "release" => bench.release(alice(), "s", None),
                "drain" => bench.release(alice(), "s", Some(DRAIN)),
                "gone" => {
                    bench.feed(Input::CallerGone { ticket: created });
                    Ticket(u64::MAX)
                }
                _ => {
                    bench.wait(HELLO);
                    Ticket(u64::MAX)
                }
            };
            let (said, waiter, after) = (bench.said(ticket), bench.said(created), bench.phase("s"));
            table += &format!(" {call}={said}/{waiter}/{after}");
        }
        table += "\n";
    }
    assert_eq!(table, CALLS);
}

#[test]
fn only_the_owner_or_an_admin_touches_a_session_and_others_hear_so() {
    let (mut bench, _) = at("ready");
    for caller in [mallory(), admin()] {
        let expected = if caller.admin { "ok" } else { "not_owner" };
        let hello = bench.hello(caller.clone(), "s");
        let update = bench.update(caller.clone(), "s", &[1]);
        let release = bench.release(caller.clone(), "s", None);
        for ticket in [hello, update, release] {
            assert_eq!(bench.said(ticket), expected);
        }
    }
    bench.create("s", awaited());
    assert!(bench.registry.list(&mallory(), bench.now).is_empty());
    assert_eq!(bench.registry.list(&admin(), bench.now).len(), 1);
}

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
fn early_hellos_are_bounded() {
    let mut bench = Bench::new();
    let all: Vec<_> = (0..1025).map(|_| bench.hello(alice(), "s")).collect();
    assert_eq!(bench.said(all[1023]), "-");
    assert_eq!(bench.said(all[1024]), "unknown");
}

#[test]
fn targets_are_given_to_the_listeners_in_turn() {
    let (mut bench, _) = at("ready");
    bench.update(alice(), "s", &[1]);
    assert_eq!(bench.targets, ["192.0.2.1:1", "192.0.2.1:1"]);
    let ticket = bench.update(alice(), "s", &[1, 2, 3]);
    assert_eq!(bench.targets, ["192.0.2.1:1", "192.0.2.1:2"]);
    assert!(
        bench
            .view(ticket)
            .sentence
            .ends_with("1 more have no listener")
    );
}

#[test]
fn no_targets_and_too_many_are_refused_and_leave_the_session_as_it_was() {
    let (mut bench, _) = at("ready");
    for ports in [vec![], vec![1; 100_000]] {
        let ticket = bench.update(alice(), "s", &ports);
        assert_eq!(bench.said(ticket), "bad_field");
    }
    assert_eq!(bench.phase("s"), "ready");
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
fn a_uid_can_be_used_again_after_its_release() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.create("demo", awaited());
        let ticket = bench.release(alice(), "demo", None);
        assert_eq!(bench.said(ticket), "ok");
    }
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
