//! The lab keeps its own promises: hosts reach each other, links are what was asked for, runs do
//! not meet, and nothing is left behind, whatever ends them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::Duration;

use bpf_tests::capability::Capability;
use bpf_tests::iperf::{Load, Sink};
use bpf_tests::netns::Place;
use bpf_tests::patience::stretched;
use bpf_tests::process::Process;
use bpf_tests::real::scratch::Scratch;
use bpf_tests::require;
use bpf_tests::topology::{
    Family, Host, LinkOptions, Published, TcpOptions, Topology, TwoGateways,
};
use rustix::process::Signal;

/// How long anything here may take.
fn patience() -> Duration {
    stretched(Duration::from_secs(30))
}

/// Sends `words` from producer to consumer by TCP and gives what arrived.
fn carry(topology: &Topology, family: Family, words: &str) -> String {
    let address = topology.consumer.ip(family);
    let bound = topology
        .consumer
        .netns()
        .enter(|| TcpListener::bind((address, 0)));
    let listener = bound.unwrap().unwrap();
    let target = listener.local_addr().unwrap();
    let dialled = topology
        .producer
        .netns()
        .enter(|| TcpStream::connect(target));
    dialled
        .unwrap()
        .unwrap()
        .write_all(words.as_bytes())
        .unwrap();
    let mut heard = String::new();
    listener
        .accept()
        .unwrap()
        .0
        .read_to_string(&mut heard)
        .unwrap();
    heard
}

fn exists(name: &str) -> bool {
    fs::exists(format!("/run/netns/{name}")).unwrap()
}

fn names(topology: &Topology) -> [String; 3] {
    topology.hosts().map(|host| host.netns().name().to_owned())
}

#[test]
fn two_topologies_side_by_side_do_not_meet() {
    require!(Capability::Netns);
    let one = Topology::one(&LinkOptions::default()).unwrap();
    let two = Topology::one(&LinkOptions::default()).unwrap();
    for family in Family::ALL {
        assert_eq!(carry(&one, family, "one"), "one");
        assert_eq!(carry(&two, family, "two"), "two");
    }
}

#[test]
fn the_producer_reaches_the_consumer_through_the_gateway_only() {
    require!(Capability::Netns);
    let topology = Topology::one(&LinkOptions::default()).unwrap();
    topology.gateway.set_link("to-consumer", false).unwrap();
    let target = SocketAddr::new(topology.consumer.ip(Family::V4), 9);
    let dialled = topology
        .producer
        .netns()
        .enter(|| TcpStream::connect_timeout(&target, Duration::from_millis(300)));
    let refused = dialled.unwrap().unwrap_err();
    // With the link up, nobody listening there would be a refused connection.
    assert_ne!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn links_are_as_asked_for() {
    require!(Capability::Netns);
    require!(Capability::Program("ethtool"));
    let options = LinkOptions {
        mtu: 9000,
        offloads: false,
        rate: Some(1_000_000_000),
        steering: true,
    };
    let topology = Topology::one(&options).unwrap();
    for host in topology.hosts() {
        for device in host.devices() {
            let link = host.netns().ip(&["link", "show", "dev", device]).unwrap();
            assert!(link.contains("mtu 9000"), "{link}");
            let features = host.netns().run(&["ethtool", "-k", device]).unwrap();
            for feature in ["tcp-segmentation-offload", "generic-receive-offload"] {
                assert!(features.contains(&format!("{feature}: off")), "{features}");
            }
            let path = format!("/sys/class/net/{device}/queues/rx-0/rps_cpus");
            let argv = [
                "ip",
                "netns",
                "exec",
                host.netns().name(),
                "cat",
                path.as_str(),
            ];
            let mask = host.netns().run(&argv).unwrap();
            assert_ne!(
                mask.trim().trim_start_matches('0'),
                "",
                "no CPU receives for {device}"
            );
        }
    }
    let queue = topology
        .producer
        .netns()
        .run(&["tc", "qdisc", "show"])
        .unwrap();
    assert!(queue.contains("tbf") && queue.contains("1Gbit"), "{queue}");
}

#[test]
fn tcp_is_tuned_inside_a_host_and_nowhere_else() {
    require!(Capability::Netns);
    let read = || fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").unwrap();
    let outside = read();
    let topology = Topology::one(&LinkOptions::default()).unwrap();
    let options = TcpOptions {
        receive_buffer: Some([4096, 65_536, 123_456]),
        send_buffer: Some([4096, 65_536, 234_567]),
        congestion_control: Some("reno".to_owned()),
    };
    topology.consumer.tune(&options).unwrap();
    let sysctl = |host: &Host, key: &str| host.netns().sysctl(key).unwrap();
    let buffer = "net.ipv4.tcp_rmem";
    assert_eq!(sysctl(&topology.consumer, buffer), "4096\t65536\t123456");
    assert_ne!(sysctl(&topology.producer, buffer), "4096\t65536\t123456");
    assert_eq!(
        sysctl(&topology.consumer, "net.ipv4.tcp_congestion_control"),
        "reno"
    );
    assert_eq!(read(), outside);
}

#[test]
fn iperf3_runs_through_the_gateway_both_ways() {
    require!(Capability::Netns);
    require!(Capability::Program("iperf3"));
    let topology = Topology::one(&LinkOptions::default()).unwrap();
    let consumer = &topology.consumer;
    let interval = Duration::from_millis(200);
    for (family, reverse) in [(Family::V4, false), (Family::V6, true)] {
        let sink = Sink::start(consumer.netns(), consumer.ip(family), interval, None).unwrap();
        let mark = sink.mark();
        let load = Load {
            duration: Duration::from_secs(1),
            streams: 2,
            reverse,
            ..Load::default()
        };
        let found = load.run(topology.producer.netns(), sink.address()).unwrap();
        assert!(found.bytes_received > 0, "{found:?}");
        assert!(found.bytes_received <= found.bytes_sent, "{found:?}");
        assert!(sink.rate(mark).is_some_and(|rate| rate > 0.0));
    }
}

#[test]
fn a_panic_leaves_nothing_behind() {
    require!(Capability::Netns);
    let mut left = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let topology = Topology::one(&LinkOptions::default()).unwrap();
        left = Some(names(&topology));
        assert!(names(&topology).iter().all(|name| exists(name)));
        panic!("as a failing test would");
    }));
    assert!(outcome.is_err());
    assert_eq!(left.unwrap().map(|name| exists(&name)), [false; 3]);
}

/// Set for a process of [`a_signal_leaves_nothing_behind`] that is there to be killed.
const HOLD: &str = "SCISTREAM_TEST_HOLD";

fn hold_a_topology_until_killed() {
    let topology = TwoGateways::new(&Published::ShortWan.options()).unwrap();
    let mut sleep = topology.producer_gateway.netns().command("sleep");
    sleep.arg("600");
    let held = Process::spawn(sleep).unwrap();
    let folder = Scratch::new().unwrap();
    folder.write("token", b"secret").unwrap();
    let names = topology.hosts().map(|host| host.netns().name().to_owned());
    let names = names.join(" ");
    println!(
        "\nholding {} {} {names}",
        held.id(),
        folder.path().display()
    );
    std::thread::sleep(Duration::from_secs(600));
}

/// A process that holds a topology, a folder, and a child inside a namespace.
struct Holder {
    process: Process,
    child: u32,
    folder: String,
    names: Vec<String>,
}

impl Holder {
    /// What there is of the folder and the namespaces.
    fn left(&self) -> Vec<&str> {
        let names = self.names.iter().map(String::as_str);
        let mut left: Vec<_> = names.filter(|name| exists(name)).collect();
        if fs::exists(&self.folder).unwrap() {
            left.push(&self.folder);
        }
        left
    }
}

fn hold_elsewhere() -> Holder {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_signal_leaves_nothing_behind", "--nocapture"]);
    command.env(HOLD, "1");
    let process = Process::spawn(command).unwrap();
    let words: Vec<String> = process
        .wait_for_line(patience(), |line| {
            let words = line.strip_prefix("holding ")?;
            Some(words.split(' ').map(str::to_owned).collect())
        })
        .unwrap();
    let (child, words) = words.split_first().unwrap();
    let (folder, names) = words.split_first().unwrap();
    let holder = Holder {
        process,
        child: child.parse().unwrap(),
        folder: folder.clone(),
        names: names.to_vec(),
    };
    assert_eq!(holder.left().len(), 5, "{words:?}");
    holder
}

fn wait_until_gone(process: u32) {
    let id = rustix::process::Pid::from_raw(process.try_into().unwrap()).unwrap();
    // Gone already is what we wait for.
    let Ok(watched) = rustix::process::pidfd_open(id, rustix::process::PidfdFlags::empty()) else {
        return;
    };
    let mut ended = [rustix::event::PollFd::new(
        &watched,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::event::Timespec::try_from(patience()).unwrap();
    assert_eq!(
        rustix::event::poll(&mut ended, Some(&limit)),
        Ok(1),
        "{process} lives on"
    );
}

#[test]
fn a_signal_leaves_nothing_behind() {
    if std::env::var_os(HOLD).is_some() {
        return hold_a_topology_until_killed();
    }
    require!(Capability::Netns);
    for signal in bpf_tests::sys::ENDING_SIGNALS {
        let mut holder = hold_elsewhere();
        holder.process.signal(signal).unwrap();
        let status = holder.process.wait(patience()).unwrap();
        let by = std::os::unix::process::ExitStatusExt::signal(&status);
        let said = holder.process.output().text();
        assert_eq!(by, Some(signal.as_raw()), "{said}");
        assert!(
            holder.left().is_empty(),
            "{:?} after {signal:?}",
            holder.left()
        );
        wait_until_gone(holder.child);
    }
}

#[test]
fn what_a_killed_run_left_is_swept_by_the_next() {
    require!(Capability::Netns);
    let mut holder = hold_elsewhere();
    holder.process.signal(Signal::KILL).unwrap();
    holder.process.wait(patience()).unwrap();
    wait_until_gone(holder.child);
    // Whichever process makes its first namespace next sweeps: this one, if no other has.
    let mut next = hold_elsewhere();
    assert!(holder.left().is_empty(), "{:?}", holder.left());
    next.process.terminate(patience()).unwrap();
}

#[test]
fn a_place_has_free_ports() {
    let loopback = std::net::Ipv4Addr::LOCALHOST.into();
    let port = Place::Here.free_port(loopback).unwrap();
    assert_ne!(port, 0);
}

#[test]
fn a_child_ends_with_its_guard_and_says_what_it_wrote() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready >&2; exec sleep 600"]);
    let process = Process::spawn(command).unwrap();
    let found = process.wait_for_line(patience(), |line| (line == "ready").then_some(()));
    found.unwrap();
    let id = process.id();
    drop(process);
    assert!(!fs::exists(format!("/proc/{id}")).unwrap());
}

#[test]
fn a_child_that_ends_early_is_an_error_with_its_last_words() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo no such plane >&2; exit 2"]);
    let mut process = Process::spawn(command).unwrap();
    let missed = process.wait_for_line(patience(), |line| (line == "ready").then_some(()));
    assert!(missed.unwrap_err().to_string().contains("no such plane"));
    let error = process
        .wait_for_success(patience())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exit code 2") && error.contains("no such plane"),
        "{error}"
    );
}
