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
    Caller, CreateSession, Greeting, Hello, Phase, Principal, Rate, RateUse, Role, SavedSession,
    SessionId, Target,
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
    restarts: Restarts,
}

/// How processes ended, and what came of their sessions.
#[derive(Debug, Default)]
struct Restarts {
    killed: usize,
    ended: usize,
    same: usize,
    gone: usize,
}

impl Seen {
    fn everything(&self) {
        assert_eq!(self.phases.len(), Phase::ALL.len(), "{:?}", self.phases);
        assert_eq!(self.codes.len(), 16, "{:?}", self.codes);
        assert_eq!(self.errors.len(), 8);
        let Restarts {
            killed,
            ended,
            same,
            gone,
        } = self.restarts;
        let all = [killed, ended, same, gone];
        assert!(all.iter().all(|times| *times > 100), "{:?}", self.restarts);
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
    config: RegistryConfig,
    registry: Registry,
    /// What the disk holds: what was to be saved a while ago.
    disk: Vec<SavedSession>,
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
            registry: Registry::new(config.clone()),
            config,
            disk: Vec::new(),
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
            match self.dice.below(100) {
                0..40 => self.call(seen),
                40..80 => self.work(seen),
                80..97 => self.pass_time(seen),
                97 => self.killed(seen),
                98 => self.ended(seen),
                _ => self.disk = self.registry.saved(),
            }
        }
        let limit = Some(Duration::from_secs(20));
        self.feed(Input::Drain { limit }, seen);
        self.run_out(seen);
        assert!(self.registry.saved().is_empty(), "a drain is for good");
        assert!(
            self.waiting.is_empty(),
            "everyone is answered: {:?}",
            self.waiting
        );
        for actual in self.actual.values() {
            assert!(actual.open.is_empty() && actual.settled, "nothing listens");
        }
    }

    /// Works until every session has ended.
    fn run_out(&mut self, seen: &mut Seen) {
        while !self.tasks.is_empty() || self.registry.next_deadline().is_some() {
            self.work(seen);
            self.pass_time(seen);
        }
        assert!(self.registry.is_empty(), "every session ends");
    }

    /// The process is killed: what was done since the last write is forgotten, as are callers,
    /// listeners and connections.
    fn killed(&mut self, seen: &mut Seen) {
        seen.restarts.killed += 1;
        let saved = std::mem::take(&mut self.disk);
        self.start_again(saved, seen);
    }

    /// The process is told to end, keeps on for a while, and is called for then.
    fn ended(&mut self, seen: &mut Seen) {
        seen.restarts.ended += 1;
        let before = self.registry.saved();
        let limit = self.drain();
        self.feed(Input::Suspend { limit }, seen);
        if self.dice.one_in(2) {
            self.feed(Input::Suspend { limit: None }, seen);
        }
        assert_eq!(self.registry.saved(), before, "all that was open is kept");
        let mut kept = before.len();
        if self.dice.one_in(2) {
            let release = Input::Release {
                ticket: self.ticket(WaitsFor::Release),
                caller: self.caller(),
                id: self.id(),
                drain: None,
            };
            self.feed(release, seen);
            kept = self.registry.saved().len();
            assert!(before.len() - kept <= 1, "a release is of one session");
        }
        self.run_out(seen);
        let saved = self.registry.saved();
        assert_eq!(saved.len(), kept, "what is kept stays until the end");
        self.start_again(saved, seen);
    }

    /// The next process, a while later, on what the disk held.
    fn start_again(&mut self, saved: Vec<SavedSession>, seen: &mut Seen) {
        self.registry = Registry::new(self.config.clone());
        (self.tasks, self.waiting) = (VecDeque::new(), HashMap::new());
        (self.actual, self.ids) = (HashMap::new(), HashMap::new());
        self.sequence = 0;
        self.now += Duration::from_secs(self.dice.below(200));
        // Other programs come and go.
        self.blocked = (0..self.dice.below(4))
            .map(|_| 6000 + self.dice.below(20) as u16)
            .collect();
        for saved in saved.iter().cloned().map(Box::new) {
            self.feed(Input::Restore { saved }, seen);
        }
        while !self.tasks.is_empty() {
            self.work(seen);
        }
        // Whatever time did to them meanwhile, those that are there are as they were.
        let back = self.registry.saved();
        for session in &back {
            assert!(saved.contains(session), "as it was: {session:?}");
        }
        seen.restarts.same += back.len();
        seen.restarts.gone += saved.len() - back.len();
        self.disk = back;
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
