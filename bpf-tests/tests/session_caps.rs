//! Capped sessions on the sockmap plane, over two gateways: what the kernel holds their sockets to, by
//! `ss` and by the gateways' own words; their bytes; and what release and update do to them midway.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::netns::{Netns, Place};
use bpf_tests::pacing;
use bpf_tests::patience::stretched;
use bpf_tests::real::pair::{LOOPBACK, RANGES};
use bpf_tests::real::served::{Connected, Served, Setup, texts};
use bpf_tests::real::user::User;
use bpf_tests::traffic::{Ending, Endpoint, Pattern, Seed, Watch};
use bpf_tests::{require, together};
use serde_json::Value;

/// What takes longer than this on a busy machine has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The cap, as `s2uc` takes it, and in bytes per second.
const CAP: (&str, u64) = ("200M", 25_000_000);

/// Both gateways move by the verdict.
const SOCKMAP: &str = "[data]\nplane = \"sockmap\"\n";

/// A session on two gateways, and the application behind it. Fields go in this order.
struct Rig {
    session: Connected,
    producer: Served,
    consumer: Served,
    setup: Setup,
    user: User,
    application: TcpListener,
    seed: Seed,
    watch: Watch,
    netns: Netns,
}

/// A connection through the session, both its ends.
struct Connection {
    near: Endpoint,
    far: Endpoint,
}

impl Rig {
    fn new(options: &[&str]) -> Result<Self> {
        let seed = Seed::from_env()?;
        println!("{}", seed.replay());
        let (netns, user) = (Netns::new("caps")?, User::new()?);
        let place = Place::from(&netns);
        let setup = Setup::new(&user)?;
        let application = listen(place)?;
        let [producer, consumer] = RANGES;
        let producer = setup.serve(&user, place, producer, SOCKMAP)?;
        let consumer = setup.serve(&user, place, consumer, SOCKMAP)?;
        let targets = [application.local_addr()?.to_string()];
        let both = [&producer, &consumer];
        let session = Connected::on(&user, place, both, &setup, (&targets, options))?;
        Ok(Self {
            session,
            producer,
            consumer,
            setup,
            user,
            application,
            seed,
            watch: Watch::default(),
            netns,
        })
    }

    fn capped() -> Result<Self> {
        Self::new(&["--max-rate", CAP.0])
    }

    fn place(&self) -> Place<'_> {
        Place::from(&self.netns)
    }

    /// Where applications connect, and where the consumer's gateway does.
    fn listeners(&self) -> Result<[SocketAddr; 2]> {
        let outer = self.session.listeners()?;
        let inner = texts(&self.session.session["producer"]["listeners"])?;
        let first = |list: Vec<String>| -> Result<SocketAddr> {
            Ok(list.first().context("a session has a listener")?.parse()?)
        };
        Ok([first(outer)?, first(inner)?])
    }

    fn connect(&self) -> Result<Connection> {
        self.connect_to(&self.application)
    }

    /// Connects, and takes the connection that arrives at `application`.
    fn connect_to(&self, application: &TcpListener) -> Result<Connection> {
        let [outer, _] = self.listeners()?;
        let near = self.place().enter(|| TcpStream::connect(outer))??;
        let far = taken(application)?;
        let [there, back] = [self.seed.derive(), self.seed.derive()].map(Pattern::new);
        Ok(Connection {
            near: Endpoint::new("near", near, [there, back], &self.watch)?,
            far: Endpoint::new("far", far, [back, there], &self.watch)?,
        })
    }

    /// What the egress sockets are held to, of each gateway and direction: the consumer's gateway to
    /// the producer's, that to the application, and the same two backwards.
    fn limits(&self) -> Result<[Vec<Option<u64>>; 4]> {
        let [outer, inner] = self.listeners()?.map(|listener| listener.port());
        let target = self.application.local_addr()?.port();
        let of = |filter: String| pacing::limits(self.place(), &filter);
        Ok([
            of(format!("dport = :{inner}"))?,
            of(format!("dport = :{target}"))?,
            of(format!("sport = :{inner}"))?,
            of(format!("sport = :{outer}"))?,
        ])
    }

    fn show(&self, at: &Served) -> Result<Value> {
        let shown = self
            .session
            .show(&self.user, self.place(), at, &self.setup)?;
        shown.json()
    }

    fn s2uc(&self, args: &[&str]) -> Result<String> {
        let access = self.setup.access();
        let access: Vec<&str> = access.iter().map(String::as_str).collect();
        let outcome = self.user.s2uc(self.place(), &[args, &access].concat())?;
        outcome.success()
    }
}

/// A listener that does not wait for who does not come.
fn listen(place: Place<'_>) -> Result<TcpListener> {
    let listener = place.enter(|| TcpListener::bind((LOOPBACK, 0)))??;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The connection that comes next.
fn taken(listener: &TcpListener) -> Result<TcpStream> {
    let mut taken = None;
    until("a connection arrives", || {
        taken = listener.accept().ok().map(|(stream, _)| stream);
        Ok(taken.is_some())
    })?;
    taken.context("a connection arrived")
}

/// Looks again and again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + stretched(PATIENCE);
    while !is_so()? {
        ensure!(
            Instant::now() < deadline,
            "it does not come to that: {what}"
        );
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Whether `limits` are those of so many connections, and add up to the cap: each is a whole number
/// of bytes, so up to one less for each.
fn share_the_cap(limits: &[Option<u64>], connections: usize) -> bool {
    let sum: u64 = limits.iter().flatten().sum();
    let all = limits.len() == connections && limits.iter().all(Option::is_some);
    all && sum <= CAP.1 && CAP.1 - sum <= 4 * connections as u64
}

#[test]
fn a_cap_lies_on_every_egress_socket_and_follows_the_connections() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    let rig = Rig::capped()?;
    let mut open = Vec::new();
    for number in 1..=4 {
        open.push(rig.connect()?);
        until("the cap is shared by all that are open", || {
            let limits = rig.limits()?;
            Ok(limits.iter().all(|own| share_the_cap(own, number)))
        })?;
    }
    open.truncate(1);
    until("the last one has all of it", || {
        let limits = rig.limits()?;
        Ok(limits.iter().all(|own| share_the_cap(own, 1)))
    })
}

#[test]
fn without_a_cap_no_socket_is_held() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    let rig = Rig::new(&[])?;
    let Connection { near, far } = rig.connect()?;
    together!(|| near.send(1 << 20), || far.receive(1 << 20))?;
    for own in rig.limits()? {
        assert_eq!(own, [None]);
    }
    Ok(())
}

#[test]
fn the_verdict_moves_a_capped_sessions_bytes_and_loses_none() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    const BYTES: u64 = 8 << 20;
    let rig = Rig::capped()?;
    let Connection { near, far } = rig.connect()?;
    together!(
        || near.send(BYTES),
        || far.receive(BYTES),
        || far.send(BYTES),
        || near.receive(BYTES),
    )?;
    for gateway in [&rig.producer, &rig.consumer] {
        let shown = rig.show(gateway)?;
        let connection = &shown["connections"][0];
        for direction in ["to_upstream", "to_downstream"] {
            let flow = &connection[direction];
            assert_eq!(flow["plane"], "sockmap", "{shown}");
            assert_eq!(flow["bytes"], BYTES, "{shown}");
            let pace = flow["pace_bps"].as_u64().context("a pace")?;
            ensure!(share_the_cap(&[Some(pace / 8)], 1), "{direction}: {shown}");
        }
    }
    Ok(())
}

#[test]
fn a_release_midway_resets_a_capped_connection() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    let rig = Rig::capped()?;
    let [outer, inner] = rig.listeners()?;
    let Connection { near, far } = rig.connect()?;
    let bulk = || {
        // More than all queues hold: it is under way when the session ends.
        let sent = near.send(1 << 30);
        ensure!(sent.is_err(), "the sender did not notice the end");
        Ok(())
    };
    let reading = || {
        let ending = far.receive_to_end()?;
        ensure!(
            ending == Ending::Reset,
            "{ending} came where a reset was due"
        );
        Ok(())
    };
    let releasing = || {
        until("bytes are under way", || {
            let shown = rig.show(&rig.producer)?;
            Ok(shown["bytes_to_upstream"].as_u64() > Some(1 << 20))
        })?;
        let ends = [rig.producer.control(), rig.consumer.control()];
        let both = ["--producer", ends[0], "--consumer", ends[1]];
        rig.s2uc(&[&["release", rig.session.uid()?][..], &both].concat())?;
        for listener in [outer, inner] {
            let dialled = rig.place().enter(|| TcpStream::connect(listener))?;
            ensure!(dialled.is_err(), "{listener} listens after the release");
        }
        Ok(())
    };
    together!(bulk, reading, releasing)
}

#[test]
fn an_update_sends_new_connections_elsewhere_and_leaves_the_old_one() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    let rig = Rig::capped()?;
    let old = rig.connect()?;
    let other = listen(rig.place())?;
    let (uid, target) = (rig.session.uid()?, other.local_addr()?.to_string());
    let at = rig.producer.control();
    rig.s2uc(&["update", uid, "--s2cs", at, "--target", &target])?;
    let new = rig.connect_to(&other)?;
    for connection in [&old, &new] {
        let Connection { near, far } = connection;
        together!(|| near.send(1 << 20), || far.receive(1 << 20))?;
    }
    ensure!(
        rig.application.accept().is_err(),
        "the old target was dialled after the update"
    );
    let ports = [
        rig.application.local_addr()?.port(),
        other.local_addr()?.port(),
    ];
    until("both share the cap", || {
        let filter = ports.map(|port| format!("dport = :{port}")).join(" or ");
        let limits = pacing::limits(rig.place(), &filter)?;
        Ok(share_the_cap(&limits, 2))
    })
}
