//! Losses on a long path: a stream gets bbr where no queue explains them, and keeps the system's
//! congestion control where one does, or where the operator wants it so; every byte arrives.
//!
//! Where packets are lost, netem loses them if the kernel has it, as in guests; else the lab's own line.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::gateway::{Gateway, GatewayOptions, Plane, find_s2cs};
use bpf_tests::load::{self, flat_out::FlatOut};
use bpf_tests::patience::stretched;
use bpf_tests::require;
use bpf_tests::topology::{Family, LinkOptions, TcpOptions, TwoGateways, TwoOptions};
use bpf_tests::wan::{Maker, WanOptions};

/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// Low enough that a window never comes near the line, often enough that a test sees it.
const LOSS: f64 = 0.002;
/// A line that a window of few segments does fill, so that it does so again and again.
const NARROW: u64 = 5_000_000;
/// Times that segments were sent again after which a stream has had its chance to change.
const ENOUGH: usize = 6;
/// More than the narrow line and its queue hold, and little enough to be gone soon.
const BUFFER: u32 = 256 << 10;
const MESSAGE: usize = 16_384;
/// Longer than the gateway's own looks at a socket are apart, so that it has seen what is seen here.
const POLL: Duration = Duration::from_millis(300);

fn patience() -> Duration {
    stretched(Duration::from_secs(60))
}

/// A stream through one gateway, with the line behind it.
struct Path {
    hosts: TwoGateways,
    /// Ends before its hosts do.
    _gateway: Gateway,
    pairs: Vec<(TcpStream, TcpStream)>,
    target: SocketAddr,
}

/// What `ss` says of the gateway's socket towards the target.
#[derive(Debug)]
struct Socket {
    control: String,
    sent_again: u32,
}

fn lossy() -> Result<WanOptions> {
    Ok(WanOptions {
        loss: LOSS,
        maker: Maker::of_this_kernel()?,
        ..WanOptions::new(ROUND_TRIP)
    })
}

impl Path {
    fn new(wan: WanOptions, plane: Plane, arguments: &[&str]) -> Result<Self> {
        let lan = LinkOptions {
            offloads: false,
            ..LinkOptions::default()
        };
        let hosts = TwoGateways::new(&TwoOptions { lan, wan })?;
        hosts.tune(&TcpOptions {
            receive_buffer: Some([4_096, 65_536, BUFFER]),
            send_buffer: Some([4_096, 65_536, BUFFER]),
            ..TcpOptions::unpaced()
        })?;
        let consumer = &hosts.consumer;
        let listener = load::listen(consumer.netns(), consumer.ip(Family::V4))?;
        let target = listener.local_addr()?;
        let gateway = GatewayOptions::new(find_s2cs("debug")?, plane)
            .listen(hosts.producer_gateway.ip(Family::V4))
            .target(target)
            .args(arguments)
            .start(hosts.producer_gateway.netns())?;
        let pair = load::join(hosts.producer.netns(), gateway.address()?, &listener)?;
        let trip = load::shortest_round_trip(&pair.0, &pair.1)?;
        ensure!(trip >= ROUND_TRIP, "a round trip took {trip:?}");
        Ok(Self {
            hosts,
            _gateway: gateway,
            pairs: vec![pair],
            target,
        })
    }

    fn socket(&self) -> Result<Socket> {
        let target = self.target.to_string();
        let ss = ["ss", "-tinH", "dst", &target];
        let text = self.hosts.producer_gateway.netns().run(&ss)?;
        let words = || text.split_whitespace();
        let control = words().find(|word| ["bbr", "cubic"].contains(word));
        // `retrans:0/7`: under way, and in all; nothing where there was none.
        let again = words().find_map(|word| word.strip_prefix("retrans:")?.rsplit('/').next());
        Ok(Socket {
            control: control
                .with_context(|| format!("ss says {text}"))?
                .to_owned(),
            sent_again: again.unwrap_or("0").parse()?,
        })
    }

    /// Streams until the gateway's socket has sent segments again so many times, or has `wanted` for
    /// its congestion control; answers with the control then.
    fn stream(&self, wanted: Option<&str>, times: usize) -> Result<String> {
        FlatOut::run(&self.pairs, MESSAGE, |_| {
            let give_up = Instant::now() + patience();
            let (mut sent_again, mut seen) = (0, 0);
            loop {
                let socket = self.socket()?;
                if socket.sent_again > sent_again {
                    (sent_again, seen) = (socket.sent_again, seen + 1);
                }
                if seen >= times || Some(socket.control.as_str()) == wanted {
                    return Ok(socket.control);
                }
                if Instant::now() >= give_up {
                    bail!("after {:?} the socket is {socket:?}", patience());
                }
                std::thread::sleep(POLL);
            }
        })
    }
}

fn losses_without_a_queue_bring_bbr(plane: Plane) -> Result<()> {
    let path = Path::new(lossy()?, plane, &[])?;
    ensure!(path.socket()?.control == "cubic", "{:?}", path.socket()?);
    path.stream(Some("bbr"), usize::MAX).map(drop)
}

#[test]
fn a_spliced_stream_that_loses_packets_gets_bbr() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    losses_without_a_queue_bring_bbr(Plane::Splice)
}

#[test]
fn a_copied_stream_that_loses_packets_gets_bbr() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    losses_without_a_queue_bring_bbr(Plane::Copy)
}

#[test]
fn a_redirected_stream_that_loses_packets_gets_bbr() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    require!(Capability::Bpf, Ok(()));
    losses_without_a_queue_bring_bbr(Plane::Sockmap)
}

#[test]
fn a_stream_whose_queue_overflows_keeps_the_systems_control() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    let narrow = WanOptions {
        rate: Some(NARROW),
        queue: ROUND_TRIP,
        // A host learns at once that its own netem is full, which is no loss to its TCP.
        maker: Maker::Threads,
        ..WanOptions::new(ROUND_TRIP)
    };
    let path = Path::new(narrow, Plane::Splice, &[])?;
    let control = path.stream(Some("bbr"), ENOUGH)?;
    ensure!(control == "cubic", "it has {control}");
    Ok(())
}

#[test]
fn the_systems_control_is_left_alone_where_it_is_asked_for() -> Result<()> {
    require!(Capability::Netns, Ok(()));
    for plane in [Plane::Splice, Plane::Copy] {
        let path = Path::new(lossy()?, plane, &["--congestion-control", "system"])?;
        let control = path.stream(Some("bbr"), ENOUGH)?;
        ensure!(control == "cubic", "on {plane:?} it has {control}");
    }
    Ok(())
}
