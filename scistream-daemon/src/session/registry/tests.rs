//! Every call in every phase, and the bench on which registries are tested.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use super::super::error::Unavailable;
use super::super::request::{CreateSession, Greeting, Hello, Role};
use super::super::target::Target;
use super::*;

/// A registry whose outputs are carried out at once, with callers that keep their answers.
pub(super) struct Bench {
    pub(super) registry: Registry,
    pub(super) now: Instant,
    pub(super) next_ticket: u64,
    pub(super) answers: HashMap<Ticket, Result<Box<Answer>, SessionError>>,
    pub(super) changes: Vec<ChangeCode>,
    pub(super) targets: Vec<String>,
    /// Ports that another program has.
    pub(super) blocked: Vec<u16>,
    /// Sessions with a connection that does not end by itself.
    pub(super) busy: Vec<SessionKey>,
    pub(super) closed: Vec<SessionKey>,
}

pub(super) const HELLO: Duration = Duration::from_secs(180);
pub(super) const DRAIN: Duration = Duration::from_secs(30);

pub(super) fn config() -> RegistryConfig {
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

pub(super) fn alice() -> Caller {
    Caller::unlimited(Principal::new("alice"))
}

pub(super) fn mallory() -> Caller {
    Caller::unlimited(Principal::new("mallory"))
}

pub(super) fn admin() -> Caller {
    Caller {
        admin: true,
        ..Caller::unlimited(Principal::new("root"))
    }
}

pub(super) fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

pub(super) fn targets(ports: &[u16]) -> Vec<Target> {
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
pub(super) fn awaited() -> CreateSession {
    CreateSession {
        greeting: Greeting::Awaited(None),
        listeners: 2,
        ..CreateSession::plain(Role::Producer)
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: RegistryConfig) -> Self {
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

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    pub(super) fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.registry.handle(input, self.now) {
                self.carry_out(output, &mut inputs);
            }
        }
    }

    pub(super) fn carry_out(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
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

    pub(super) fn create_as(
        &mut self,
        caller: Caller,
        name: &str,
        request: CreateSession,
    ) -> Ticket {
        let ticket = self.ticket();
        self.feed(Input::Create {
            ticket,
            caller,
            id: id(name),
            request: Box::new(request),
        });
        ticket
    }

    pub(super) fn create(&mut self, name: &str, request: CreateSession) -> Ticket {
        self.create_as(alice(), name, request)
    }

    pub(super) fn hello(&mut self, caller: Caller, name: &str) -> Ticket {
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

    pub(super) fn update(&mut self, caller: Caller, name: &str, ports: &[u16]) -> Ticket {
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

    pub(super) fn release(
        &mut self,
        caller: Caller,
        name: &str,
        drain: Option<Duration>,
    ) -> Ticket {
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

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.feed(Input::Tick);
    }

    pub(super) fn phase(&self, name: &str) -> &'static str {
        let shown = self.registry.show(&admin(), &id(name), self.now);
        shown.map_or("gone", |(_, view)| view.phase.as_str())
    }

    pub(super) fn key(&self, name: &str) -> SessionKey {
        self.registry.show(&admin(), &id(name), self.now).unwrap().0
    }

    /// What a ticket was answered: `-` for nothing yet.
    pub(super) fn said(&self, ticket: Ticket) -> &'static str {
        match self.answers.get(&ticket) {
            None => "-",
            Some(Ok(answer)) if answer.existed => "existed",
            Some(Ok(_)) => "ok",
            Some(Err(error)) => name(error),
        }
    }

    pub(super) fn error(&self, ticket: Ticket) -> &SessionError {
        self.answers[&ticket].as_ref().unwrap_err()
    }

    pub(super) fn view(&self, ticket: Ticket) -> &SessionView {
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
pub(super) fn at(phase: &str) -> (Bench, Ticket) {
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
