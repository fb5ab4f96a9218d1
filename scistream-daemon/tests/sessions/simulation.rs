//! Sessions under 256 seeds of random calls, failures and delays: what the registry promises is held
//! against a model of the world that carries its outputs out late.
//!
//! A failure names its seed; `SCISTREAM_SIM_SEED=0x…` runs that one alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use scistream_daemon::session::exchange::{Input, Output, SessionKey, Ticket};
use scistream_daemon::session::registry::{Registry, RegistryConfig};
use scistream_daemon::session::{
    Caller, CreateSession, Greeting, Hello, Phase, Principal, Rate, RateUse, Role, SessionId,
    Target,
};

const SEEDS: u64 = 256;
const CALLS: u32 = 400;

#[test]
fn sessions_keep_their_promises_whatever_comes_in_whatever_order() {
    let seeds = match std::env::var("SCISTREAM_SIM_SEED") {
        Ok(text) => vec![u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()],
        Err(_) => (0..SEEDS).collect(),
    };
    let mut seen = Seen::default();
    for seed in seeds {
        let _named_when_it_fails = Named(seed);
        World::new(seed).run(&mut seen);
    }
    if std::env::var_os("SCISTREAM_SIM_SEED").is_none() {
        seen.everything();
    }
}

/// Names the seed when the test panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with SCISTREAM_SIM_SEED={:#x}", self.0);
        }
    }
}

/// What happened in all runs together: a simulation that never gets somewhere proves nothing there.
#[derive(Default)]
struct Seen {
    phases: HashSet<Phase>,
    codes: HashSet<&'static str>,
    errors: HashSet<std::mem::Discriminant<scistream_daemon::session::SessionError>>,
}

impl Seen {
    fn everything(&self) {
        assert_eq!(self.phases.len(), Phase::ALL.len(), "{:?}", self.phases);
        assert_eq!(self.codes.len(), 14, "{:?}", self.codes);
        assert_eq!(self.errors.len(), 8);
    }
}

/// A small pseudo-random generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What the world holds of one session.
#[derive(Default)]
struct Actual {
    open: HashMap<usize, u16>,
    closing: bool,
    closed: bool,
    ended: bool,
    connections: bool,
    settled: bool,
    forwards: bool,
}

/// What is still to be done.
enum Task {
    Open(SessionKey, usize, u16),
    Close(SessionKey),
    End(SessionKey),
    Settle(SessionKey),
}

struct World {
    registry: Registry,
    now: Instant,
    dice: Dice,
    tasks: VecDeque<Task>,
    actual: HashMap<SessionKey, Actual>,
    ids: HashMap<SessionId, SessionKey>,
    /// Callers that wait, and those that are answered.
    waiting: HashMap<Ticket, WaitsFor>,
    next_ticket: u64,
    blocked: HashSet<u16>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WaitsFor {
    Create,
    Other,
    Release,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let config = RegistryConfig {
            ports: 6000..=6000 + dice.below(20) as u16,
            port_rest: Duration::from_secs(dice.below(10)),
            max_sessions: 1 + dice.below(12) as usize,
            max_connections: None,
            hello_timeout: Duration::from_secs(180),
            early_hello: Duration::from_secs(dice.below(3)),
            lifetime: dice.one_in(2).then_some(Duration::from_secs(600)),
            idle_timeout: dice.one_in(2).then_some(Duration::from_secs(300)),
            rate_use: RateUse::Reserve,
            capacity: Some(Rate::from_bytes(100)),
        };
        let blocked = (0..dice.below(4)).map(|_| 6000 + dice.below(20) as u16);
        Self {
            blocked: blocked.collect(),
            registry: Registry::new(config),
            now: Instant::now(),
            dice,
            tasks: VecDeque::new(),
            actual: HashMap::new(),
            ids: HashMap::new(),
            waiting: HashMap::new(),
            next_ticket: 0,
            sequence: 0,
        }
    }

    fn run(mut self, seen: &mut Seen) {
        for _ in 0..CALLS {
            match self.dice.below(10) {
                0..4 => self.call(seen),
                4..8 => self.work(seen),
                _ => self.pass_time(seen),
            }
        }
        self.feed(
            Input::Drain {
                limit: Some(Duration::from_secs(20)),
            },
            seen,
        );
        while !self.tasks.is_empty() || self.registry.next_deadline().is_some() {
            self.work(seen);
            self.pass_time(seen);
        }
        assert!(self.registry.is_empty(), "every session ends");
        assert!(
            self.waiting.is_empty(),
            "everyone is answered: {:?}",
            self.waiting
        );
        for actual in self.actual.values() {
            assert!(actual.open.is_empty() && actual.settled, "nothing listens");
        }
    }

    fn feed(&mut self, input: Input, seen: &mut Seen) {
        for output in self.registry.handle(input, self.now) {
            self.take(output, seen);
        }
    }

    fn take(&mut self, output: Output, seen: &mut Seen) {
        match output {
            Output::Prepare { key, terms } => {
                assert!(
                    self.actual.insert(key, Actual::default()).is_none(),
                    "a fresh key"
                );
                self.ids.insert(terms.id.clone(), key);
            }
            Output::OpenListener { key, index, port } => {
                assert!(
                    !self.actual[&key].closing,
                    "no listener opens on the way out"
                );
                self.tasks.push_back(Task::Open(key, index, port));
            }
            Output::SetTargets { key, targets } => {
                let actual = self.actual.get_mut(&key).unwrap();
                assert!(!actual.closing && actual.open.len() == targets.len());
                actual.forwards = true;
            }
            Output::CloseListeners { key } => {
                let actual = self.actual.get_mut(&key).unwrap();
                assert!(!std::mem::replace(&mut actual.closing, true), "closed once");
                self.tasks.push_back(Task::Close(key));
            }
            Output::EndConnections { key } => {
                assert!(
                    self.actual[&key].closing,
                    "listeners close before connections"
                );
                self.tasks.push_back(Task::End(key));
            }
            Output::Answer { ticket, answer } => self.check_answer(ticket, answer, seen),
            Output::Record(change) => {
                assert_eq!(change.sequence, self.sequence, "no gap");
                assert!(!change.sentence.is_empty());
                self.sequence += 1;
                seen.phases.insert(change.phase);
                seen.codes.insert(change.code.as_str());
            }
        }
    }

    fn check_answer(
        &mut self,
        ticket: Ticket,
        answer: Result<
            Box<scistream_daemon::session::exchange::Answer>,
            scistream_daemon::session::SessionError,
        >,
        seen: &mut Seen,
    ) {
        let waits = self
            .waiting
            .remove(&ticket)
            .expect("answered once, and only who asked");
        let session = match answer {
            Ok(answer) => answer.session,
            Err(error) => {
                seen.errors.insert(std::mem::discriminant(&error));
                return;
            }
        };
        let actual = &self.actual[&self.ids[&session.id]];
        match waits {
            WaitsFor::Create => {
                assert!(!actual.closing, "ready, and not on its way out");
                assert_eq!(
                    actual.open.len(),
                    session.listeners.len(),
                    "ready means bound"
                );
                assert!(!session.listeners.is_empty());
            }
            WaitsFor::Release => {
                assert!(actual.closed, "released means that nothing listens");
                let drains = session.phase == Phase::Draining;
                assert!(
                    drains || actual.settled,
                    "released at once means that nothing is left"
                );
            }
            WaitsFor::Other => assert!(session.phase.is_open()),
        }
    }

    fn ticket(&mut self, waits: WaitsFor) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting.insert(ticket, waits);
        ticket
    }

    fn caller(&mut self) -> Caller {
        let name = ["alice", "bob"][self.dice.below(2) as usize];
        Caller {
            admin: self.dice.one_in(10),
            ..Caller::unlimited(Principal::new(name))
        }
    }

    fn id(&mut self) -> SessionId {
        format!("s{}", self.dice.below(12)).parse().unwrap()
    }

    fn targets(&mut self) -> Vec<Target> {
        let number = self.dice.below(4);
        let target = |index| SocketAddr::from((Ipv4Addr::LOCALHOST, 1 + index as u16)).into();
        (0..number).map(target).collect()
    }

    fn call(&mut self, seen: &mut Seen) {
        let (caller, id) = (self.caller(), self.id());
        let input = match self.dice.below(7) {
            0 | 1 => Input::Create {
                ticket: self.ticket(WaitsFor::Create),
                caller,
                id,
                request: Box::new(self.request()),
            },
            2 => Input::Hello {
                ticket: self.ticket(WaitsFor::Other),
                caller,
                id,
                hello: Hello {
                    role: Role::Producer,
                    targets: self.targets(),
                },
            },
            3 => Input::Update {
                ticket: self.ticket(WaitsFor::Other),
                caller,
                id,
                targets: self.targets(),
            },
            4 => Input::Release {
                ticket: self.ticket(WaitsFor::Release),
                caller,
                id,
                drain: self.drain(),
            },
            5 => return self.somebody_goes_away(seen),
            _ => {
                let mut keys: Vec<SessionKey> = self.ids.values().copied().collect();
                keys.sort_unstable();
                let Some(&key) = keys.get(self.dice.below(keys.len().max(1) as u64) as usize)
                else {
                    return;
                };
                let actual = self.actual.get_mut(&key).unwrap();
                if !actual.forwards || actual.closed || actual.settled {
                    return;
                }
                actual.connections = true;
                Input::Moved { key }
            }
        };
        self.feed(input, seen);
    }

    fn request(&mut self) -> CreateSession {
        CreateSession {
            listeners: self.dice.below(6) as u32,
            greeting: if self.dice.one_in(3) {
                Greeting::NotNeeded
            } else {
                Greeting::Awaited(None)
            },
            rate: Some(Rate::from_bytes(self.dice.below(40))),
            targets: if self.dice.one_in(3) {
                self.targets()
            } else {
                Vec::new()
            },
            submission: self.dice.one_in(4).then(|| "same".parse().unwrap()),
            lifetime: self.dice.one_in(4).then_some(Duration::from_secs(400)),
            idle_timeout: self.dice.one_in(4).then_some(Duration::from_secs(200)),
            ..CreateSession::plain(Role::Producer)
        }
    }

    fn drain(&mut self) -> Option<Duration> {
        self.dice
            .one_in(2)
            .then(|| Duration::from_secs(self.dice.below(60)))
    }

    fn somebody_goes_away(&mut self, seen: &mut Seen) {
        // What time has brought is answered before anybody goes.
        self.feed(Input::Tick, seen);
        let mut tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
        tickets.sort_unstable();
        if tickets.is_empty() {
            return;
        }
        let ticket = tickets[self.dice.below(tickets.len() as u64) as usize];
        self.waiting.remove(&ticket);
        self.feed(Input::CallerGone { ticket }, seen);
    }

    fn pass_time(&mut self, seen: &mut Seen) {
        let deadline = self.registry.next_deadline();
        let jump = Duration::from_millis(self.dice.below(20_000));
        self.now = match deadline {
            Some(at) if self.dice.one_in(2) => at.max(self.now),
            Some(_) | None => self.now + jump,
        };
        self.feed(Input::Tick, seen);
    }

    /// Carries the oldest task out, and lets connections end.
    fn work(&mut self, seen: &mut Seen) {
        let Some(task) = self.tasks.pop_front() else {
            return;
        };
        match task {
            Task::Open(key, index, port) if self.blocked.contains(&port) => {
                let cause = "in use".to_owned();
                self.feed(Input::BindFailed { key, index, cause }, seen);
            }
            Task::Open(key, index, port) => {
                let holder = self
                    .actual
                    .values()
                    .find(|actual| actual.open.values().any(|open| *open == port));
                assert!(holder.is_none(), "port {port} is given out once");
                self.actual.get_mut(&key).unwrap().open.insert(index, port);
                let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                self.feed(Input::Bound { key, index, listen }, seen);
            }
            Task::Close(key) => {
                let actual = self.actual.get_mut(&key).unwrap();
                actual.open.clear();
                actual.closed = true;
                self.tasks.push_back(Task::Settle(key));
                self.feed(Input::ListenersClosed { key }, seen);
            }
            Task::End(key) => {
                let actual = self.actual.get_mut(&key).unwrap();
                (actual.ended, actual.connections) = (true, false);
            }
            Task::Settle(key) => {
                let ends = self.dice.one_in(4);
                let actual = self.actual.get_mut(&key).unwrap();
                if actual.connections && !ends {
                    self.tasks.push_back(Task::Settle(key));
                    return;
                }
                actual.settled = true;
                self.feed(Input::Settled { key }, seen);
            }
        }
    }
}
