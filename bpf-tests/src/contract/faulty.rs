//! A small user-space relay with a fault of one's choice, to show that the checks can fail, and
//! without one, to show that what fails is the fault. No part of the product.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::net::sockopt::{Timeout, set_socket_linger, set_socket_timeout};
use rustix::process::Signal;
use serde_json::json;

use super::connection::Side;
use super::naive::NaiveVerdict;
use super::relay::Relay;

/// How often a blocked read looks whether the other direction was reset.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Where in a stream a fault that wants a place happens.
const FAULTY_BYTE: u64 = 40_000;

/// What the stand-in does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Adds one to the bytes accepted.
    CountsWrong,
    /// Changes one byte.
    CorruptsAByte,
    /// Sends some bytes twice.
    DuplicatesBytes,
    /// Finishes both directions when one ends.
    FinishesBothWays,
    /// Passes an RST on as a FIN.
    FinishesInsteadOfReset,
    /// Takes what comes, however slow the reader is.
    HoldsWithoutBound,
    /// Leaves out some bytes.
    LosesBytes,
    /// Forgets what has not been sent yet when the FIN comes.
    LosesTheTail,
    /// Nothing.
    None,
    /// Lets the kernel redirect everything, whatever the room: the naive verdict.
    RedirectsWithoutLooking,
    /// Exchanges two blocks.
    ReordersBytes,
    /// Never passes a FIN on.
    SwallowsTheFin,
}

/// The relay, in this process.
pub(super) struct StandIn {
    listen: SocketAddr,
    stopped: Arc<AtomicBool>,
    lines: Arc<Lines>,
}

type Serve = Box<dyn Fn(TcpStream) + Send + Sync>;

#[derive(Default)]
struct Lines {
    texts: Mutex<Vec<String>>,
    grown: Condvar,
}

/// One direction of one connection.
struct Pump {
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    from_side: Side,
    fault: Fault,
    /// The side whose socket broke first.
    broken: Arc<OnceLock<Side>>,
    moved: Arc<AtomicU64>,
}

impl StandIn {
    /// Starts it in the network namespace of the calling thread.
    pub(super) fn start([listen, target]: [SocketAddr; 2], fault: Fault) -> Result<Self> {
        let lines = Arc::new(Lines::default());
        let serve: Serve = if fault == Fault::RedirectsWithoutLooking {
            let naive = NaiveVerdict::load()?;
            Box::new(move |downstream| naive.relay(&downstream, target))
        } else {
            let lines = Arc::clone(&lines);
            Box::new(move |downstream| relay_one(downstream, target, fault, &lines))
        };
        let listener = TcpListener::bind(listen)?;
        // Bounds how long the thread outlives its relay.
        set_socket_timeout(&listener, Timeout::Recv, Some(LOOK_INTERVAL))?;
        let listen = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stopped);
        thread::spawn(move || {
            let serve = &serve;
            thread::scope(|scope| {
                while !stopping.load(Ordering::Relaxed) {
                    if let Ok((downstream, _peer)) = listener.accept() {
                        scope.spawn(move || serve(downstream));
                    }
                }
            });
        });
        let plane = if fault == Fault::RedirectsWithoutLooking {
            "sockmap"
        } else {
            "copy"
        };
        lines.push(json!({ "message": "plane chosen", "level": "INFO", "plane": plane }));
        Ok(Self {
            listen,
            stopped,
            lines,
        })
    }
}

impl Relay for StandIn {
    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn process_id(&self) -> Option<u32> {
        None
    }

    fn lines_from(&self, from: usize) -> (Vec<String>, usize) {
        let texts = self
            .lines
            .texts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (texts.iter().skip(from).cloned().collect(), texts.len())
    }

    fn wait_for_lines_beyond(&self, count: usize, patience: Duration) -> bool {
        let texts = self
            .lines
            .texts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let none = |texts: &mut Vec<String>| texts.len() <= count;
        let waited = self.lines.grown.wait_timeout_while(texts, patience, none);
        waited.unwrap_or_else(PoisonError::into_inner).0.len() > count
    }

    fn tail(&self) -> String {
        self.lines_from(0).0.join("\n")
    }

    fn signal(&self, _signal: Signal) -> Result<()> {
        self.stopped.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn end(self: Arc<Self>) -> Result<()> {
        self.signal(Signal::TERM)
    }
}

impl Lines {
    fn push(&self, line: serde_json::Value) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push(line.to_string());
        drop(texts);
        self.grown.notify_all();
    }
}

fn relay_one(downstream: TcpStream, target: SocketAddr, fault: Fault, lines: &Lines) {
    let (Ok(name), Ok(upstream)) = (downstream.peer_addr(), TcpStream::connect(target)) else {
        return;
    };
    let (downstream, upstream) = (Arc::new(downstream), Arc::new(upstream));
    let broken = Arc::new(OnceLock::new());
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let pump = |from_side: Side| {
        let (from, to, moved) = match from_side {
            Side::Downstream => (&downstream, &upstream, &counts[0]),
            Side::Upstream => (&upstream, &downstream, &counts[1]),
        };
        Pump {
            from: Arc::clone(from),
            to: Arc::clone(to),
            from_side,
            fault,
            broken: Arc::clone(&broken),
            moved: Arc::clone(moved),
        }
    };
    let [forth, back] = Side::BOTH.map(pump);
    thread::scope(|scope| {
        scope.spawn(|| forth.run());
        scope.spawn(|| back.run());
    });
    let broken = broken.get();
    let reason = broken.map_or("finished", |side| side.reset_reason());
    if broken.is_some() && fault != Fault::FinishesInsteadOfReset {
        for stream in [&downstream, &upstream] {
            // The peer is told by the close that follows; it cannot be told in another way.
            set_socket_linger(stream, Some(Duration::ZERO)).unwrap_or_default();
        }
    }
    let counts = counts.map(|count| count.load(Ordering::Relaxed));
    lines.push(closing_line(name, target, reason, counts, fault));
}

fn closing_line(
    downstream: SocketAddr,
    upstream: SocketAddr,
    reason: &str,
    counts: [u64; 2],
    fault: Fault,
) -> serde_json::Value {
    let mut line = json!({
        "message": "connection closed", "level": "INFO", "reason": reason, "duration_ms": 1,
        "downstream": downstream.to_string(), "upstream": upstream.to_string(),
        "listen": upstream.to_string(),
    });
    for (direction, moved) in ["to_upstream", "to_downstream"].into_iter().zip(counts) {
        let wrong = u64::from(fault == Fault::CountsWrong);
        for (key, value) in [
            ("bytes", moved),
            ("received", moved),
            ("accepted", moved + wrong),
            ("redirected", 0),
            ("spliced", 0),
            ("copied", moved),
            ("kernel_share", 0),
            ("flips", 0),
        ] {
            line[format!("{direction}_{key}")] = json!(value);
        }
        line[format!("{direction}_plane")] = json!("copy");
    }
    line
}

impl Pump {
    /// Moves everything, or notes which side broke.
    fn run(&self) {
        let (put, take) = match self.fault {
            Fault::HoldsWithoutBound => {
                let (put, take) = mpsc::channel();
                (Put::Unbounded(put), take)
            }
            Fault::LosesTheTail => channel(1024),
            Fault::CorruptsAByte
            | Fault::CountsWrong
            | Fault::DuplicatesBytes
            | Fault::FinishesBothWays
            | Fault::FinishesInsteadOfReset
            | Fault::LosesBytes
            | Fault::None
            | Fault::RedirectsWithoutLooking
            | Fault::ReordersBytes
            | Fault::SwallowsTheFin => channel(1),
        };
        let ended = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                if self.write(take, ended).is_err() {
                    self.broken.get_or_init(|| self.from_side.other());
                }
            });
            self.read(put);
            ended.store(true, Ordering::Relaxed);
        });
    }

    fn read(&self, put: Put) {
        // Without it the reader would not look at the other direction; that is all.
        self.from
            .set_read_timeout(Some(LOOK_INTERVAL))
            .unwrap_or_default();
        let mut block = vec![0; 16 << 10];
        while self.broken.get().is_none() {
            match (&*self.from).read(&mut block) {
                Ok(0) => return,
                Ok(bytes) => put.send(block[..bytes].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_broken) => {
                    // Noted before `put` is dropped and the writer sees the end: it sends no FIN.
                    self.broken.get_or_init(|| self.from_side);
                }
            }
        }
    }

    fn write(&self, take: Receiver<Vec<u8>>, ended: &AtomicBool) -> io::Result<()> {
        self.to.set_write_timeout(Some(LOOK_INTERVAL))?;
        let mut held: Vec<u8> = Vec::new();
        for block in take {
            if self.fault == Fault::LosesTheTail && ended.load(Ordering::Relaxed) {
                break;
            }
            let at = self.moved.fetch_add(block.len() as u64, Ordering::Relaxed);
            let faulty = (at..at + block.len() as u64).contains(&FAULTY_BYTE);
            let mut out = self.spoil(block, faulty);
            if faulty && self.fault == Fault::ReordersBytes && held.is_empty() {
                held = out;
                continue;
            }
            out.append(&mut held);
            self.write_all(&out)?;
        }
        self.write_all(&held)?;
        if self.broken.get().is_some() || self.fault == Fault::SwallowsTheFin {
            return Ok(());
        }
        if self.fault == Fault::FinishesBothWays {
            self.from.shutdown(Shutdown::Both)?;
            return self.to.shutdown(Shutdown::Both);
        }
        self.to.shutdown(Shutdown::Write)
    }

    fn spoil(&self, mut block: Vec<u8>, faulty: bool) -> Vec<u8> {
        if !faulty {
            return block;
        }
        match self.fault {
            Fault::CorruptsAByte => block[0] ^= 1,
            Fault::DuplicatesBytes => block.extend_from_within(block.len().saturating_sub(100)..),
            Fault::LosesBytes => drop(block.pop()),
            Fault::CountsWrong
            | Fault::FinishesBothWays
            | Fault::FinishesInsteadOfReset
            | Fault::HoldsWithoutBound
            | Fault::LosesTheTail
            | Fault::None
            | Fault::RedirectsWithoutLooking
            | Fault::ReordersBytes
            | Fault::SwallowsTheFin => {}
        }
        block
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match (&*self.to).write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.broken.get().is_some() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

enum Put {
    Bounded(SyncSender<Vec<u8>>),
    Unbounded(Sender<Vec<u8>>),
}

impl Put {
    fn send(&self, block: Vec<u8>) {
        // The writer is gone only after its socket broke; what comes then has nowhere to go.
        match self {
            Self::Bounded(put) => drop(put.send(block)),
            Self::Unbounded(put) => drop(put.send(block)),
        }
    }
}

fn channel(blocks: usize) -> (Put, Receiver<Vec<u8>>) {
    let (put, take) = mpsc::sync_channel(blocks);
    (Put::Bounded(put), take)
}
