//! A wide-area line on one machine: round-trip time, rate, loss, jitter and reordering between two
//! namespaces, in user space, because no queueing discipline of every kernel can hold a packet.
//!
//! ```text
//!   gateway1                      this process                     gateway2
//!   ┌────────┐      ┌──────────────────────────────────┐      ┌────────┐
//!   │ to-wan │─TUN─►│ read ─ Line ─ by due time ─ write │─TUN─►│ to-wan │
//!   │        │◄─TUN─│ write ─ by due time ─ Line ─ read │◄─TUN─│        │
//!   └────────┘      └──────────────────────────────────┘      └────────┘
//! ```
//!
//! A TUN device with virtio headers hands over TCP packets of up to 64 KB with their segmentation
//! left to be done, so that a line of 10 Gb/s costs about one CPU: two copies and two system calls
//! for each large packet. The rate is charged, and loss is drawn, for each segment in it.
//!
//! What it is not: a large packet is due when its last segment would be, all at once, so times
//! below the time of 64 KB at the rate (52 µs at 10 Gb/s) are not modelled; and the two copies
//! are made by CPUs of this machine, which [`Wan::cpu_time`] tells apart.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::netns::Netns;
use anyhow::{Context as _, Result, ensure};

mod carrier;
mod counters;
mod ending;
mod line;
pub(crate) mod netem;
mod packet;
mod split;
mod store;
mod sys;

use carrier::Carrier;
use counters::Counters;
use ending::Ending;
use line::Line;
use store::Store;

pub use counters::{Drops, LineCounters};
pub use netem::Maker;

/// Packets that the kernel keeps for the emulator while it does not run.
const DEVICE_QUEUE: u32 = 20_000;

/// Memory for packets under way in one direction, unless the options say otherwise: 144 ms at
/// 10 Gb/s are 90 MB each way, and slow start over an uncapped line sends at three times that.
const MEMORY: usize = 512 << 20;

/// How a line behaves; both directions are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct WanOptions {
    /// There and back; half of it is spent each way.
    pub rtt: Duration,
    /// Bits per second each way on an Ethernet wire, with headers and framing; `None` is as fast
    /// as the CPU goes.
    pub rate: Option<u64>,
    /// What waits before the bottleneck at most, as time at `rate`; beyond it packets are dropped.
    pub queue: Duration,
    /// Probability that a segment is lost, each for itself.
    pub loss: f64,
    /// Added to each packet's delay: uniform from zero to this. The order is kept.
    pub jitter: Duration,
    /// Share of the packets that are held back for a millisecond, so that others overtake them.
    pub reorder: f64,
    /// Decides losses, jitter and reordering.
    pub seed: u64,
    /// Bytes of memory for packets under way, each way.
    pub memory: usize,
    /// Who holds the packets.
    pub maker: Maker,
}

/// A line that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Wan {
    ending: Arc<Ending>,
    directions: [Direction; 2],
}

#[derive(Debug, Default)]
struct Direction {
    counters: Arc<Counters>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// The devices at both ends of a line. They last as long as this, or the line that is made of it.
#[derive(Debug)]
pub struct Devices([Arc<OwnedFd>; 2]);

/// What a line did in both directions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct WanCounters {
    /// From the first end to the second.
    pub there: LineCounters,
    /// From the second end to the first.
    pub back: LineCounters,
}

/// One end of a line: the namespace that gets a device, and the device's name.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Where the device is made.
    pub host: &'a Netns,
    /// Its name, at most 15 bytes.
    pub device: &'a str,
}

impl WanOptions {
    /// A line of this round-trip time without any other limit.
    pub fn new(rtt: Duration) -> Self {
        Self {
            rtt,
            rate: None,
            queue: Duration::from_millis(20),
            loss: 0.0,
            jitter: Duration::ZERO,
            reorder: 0.0,
            seed: 1,
            memory: MEMORY,
            maker: Maker::default(),
        }
    }

    fn check(&self) -> Result<()> {
        for (name, share) in [("loss", self.loss), ("reordering", self.reorder)] {
            ensure!(
                (0.0..=1.0).contains(&share),
                "a line's {name} is a share from 0 to 1, not {share}"
            );
        }
        ensure!(
            self.rate != Some(0),
            "a line of 0 bits per second carries nothing"
        );
        Ok(())
    }
}

impl Wan {
    /// Carries packets between two devices. They should be up: one that is down refuses packets.
    ///
    /// # Errors
    /// When the options make no sense, or a thread cannot be started.
    pub fn start(devices: Devices, options: &WanOptions) -> Result<Self> {
        options.check()?;
        let Devices([near, far]) = devices;
        let ending = Arc::new(Ending::new()?);
        // Made before its threads, so that the first is ended if the second cannot be started.
        let mut wan = Self {
            ending: Arc::clone(&ending),
            directions: Default::default(),
        };
        let [there, back] = &mut wan.directions;
        let store = || Store::new(options.memory);
        let line = Line::new(options, options.seed);
        there.start(Carrier::new([&near, &far], &ending, line, store()))?;
        let line = Line::new(options, !options.seed);
        back.start(Carrier::new([&far, &near], &ending, line, store()))?;
        Ok(wan)
    }

    /// What it did so far. [`Drops::unread`] is of the devices:
    /// [`TwoGateways::wan_counters`](crate::topology::TwoGateways::wan_counters) fills it in.
    pub fn counters(&self) -> WanCounters {
        let [there, back] = &self.directions;
        WanCounters {
            there: there.counters.snapshot(),
            back: back.counters.snapshot(),
        }
    }

    /// CPU time of its two threads so far. It holds what the kernel does on their behalf: the
    /// receiving host's work for every packet that is handed on.
    ///
    /// # Errors
    /// When a thread has ended or the kernel keeps no account of threads.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.directions.iter().map(Direction::cpu_time).sum()
    }
}

impl Devices {
    /// Makes a device at each end, without addresses and MTU, and down. `offloads` as in
    /// [`LinkOptions`](crate::topology::LinkOptions). Packets that are sent by them wait for
    /// [`Wan::start`].
    ///
    /// # Errors
    /// Without root or `/dev/net/tun`.
    pub fn make(ends: [End<'_>; 2], offloads: bool) -> Result<Self> {
        let [near, far] = ends.map(|end| end.open(offloads));
        Ok(Self([Arc::new(near?), Arc::new(far?)]))
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        if let Err(error) = self.ending.announce() {
            eprintln!("cannot end the emulated line: {error}");
            return;
        }
        for direction in &mut self.directions {
            let ended = direction.thread.take().map(JoinHandle::join);
            match ended {
                None | Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => eprintln!("the emulated line failed: {error:#}"),
                Some(Err(_)) => eprintln!("a thread of the emulated line panicked"),
            }
        }
    }
}

impl Direction {
    fn start(&mut self, carrier: Carrier) -> Result<()> {
        self.counters = carrier.counters();
        let thread = std::thread::Builder::new()
            .name("lab-wan".to_owned())
            .spawn(move || carrier.run());
        self.thread = Some(thread.context("starting a thread of the emulated line")?);
        Ok(())
    }

    fn cpu_time(&self) -> Result<Duration> {
        let thread = self.counters.thread.load(Relaxed);
        let path = format!("/proc/self/task/{thread}/schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let spent = text.split(' ').next().unwrap_or_default().parse();
        let spent = spent.with_context(|| format!("{path} does not begin with a number"))?;
        Ok(Duration::from_nanos(spent))
    }
}

impl End<'_> {
    fn open(self, offloads: bool) -> Result<OwnedFd> {
        let Self { host, device } = self;
        let opened = host.enter(|| sys::open(device, offloads))?;
        let opened = opened.with_context(|| {
            format!(
                "cannot make the TUN device {device} in {}; is /dev/net/tun there, and this root?",
                host.name()
            )
        })?;
        let queue = DEVICE_QUEUE.to_string();
        host.ip(&["link", "set", device, "txqueuelen", &queue])?;
        Ok(opened)
    }
}
