//! New connections, one after the other by a few workers: a closed loop.
//!
//! ```text
//!   producer   dial ── 1 byte ──►            read ── FIN ──►         read end
//!   consumer          accept ── read ── 1 byte ──►     read end ── FIN ──►
//! ```
//!
//! Every connection ends in order, from the side that dialled, so that a relay does all of its
//! closing work inside the measured time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::netns::Place;
use crate::topology::Topology;

/// Settings of every host that let ports be used again after a second instead of a minute: at
/// thousands of connections per second the 64,000 ports of one pair of addresses would run out.
const PORT_SETTINGS: [(&str, &str); 2] = [
    ("net.ipv4.ip_local_port_range", "1024 65535"),
    ("net.ipv4.tcp_tw_reuse", "1"),
];

/// How many at once, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionLoad {
    /// So many connections are open at once.
    pub workers: usize,
    /// For how long new connections begin.
    pub duration: Duration,
}

/// What became of the connections.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionReport {
    /// Connections that did everything and ended in order.
    pub completed: u64,
    /// Connections that did not.
    pub failed: u64,
    /// Why the first of them failed.
    pub first_failure: Option<String>,
    /// From the first dial to the last end, seconds.
    pub seconds: f64,
}

/// Threads that answer every connection that arrives at a listener; they end when this is dropped.
#[derive(Debug)]
pub struct Answering {
    listener: Arc<TcpListener>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Tally {
    completed: u64,
    failed: u64,
    first_failure: Option<String>,
}

/// Prepares the hosts of `topology` for thousands of short connections per second.
///
/// # Errors
/// When the kernel refuses a setting.
pub fn spare_ports(topology: &Topology) -> Result<()> {
    for host in topology.hosts() {
        for (key, value) in PORT_SETTINGS {
            host.netns().set_sysctl(key, value)?;
        }
    }
    Ok(())
}

impl ConnectionLoad {
    /// Dials `address` from `producer` again and again; [`Answering`] is at the other end.
    ///
    /// A connection that fails, and a worker that cannot be started, is counted.
    pub fn run<'a>(&self, producer: impl Into<Place<'a>>, address: SocketAddr) -> ConnectionReport {
        let producer = producer.into();
        let start = Instant::now();
        let tallies = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.workers)
                .map(|_| scope.spawn(|| self.dial_all(producer, address, start)))
                .collect();
            collect(workers)
        });
        ConnectionReport {
            completed: tallies.iter().map(|tally| tally.completed).sum(),
            failed: tallies.iter().map(|tally| tally.failed).sum(),
            first_failure: tallies.into_iter().find_map(|tally| tally.first_failure),
            seconds: start.elapsed().as_secs_f64(),
        }
    }

    fn dial_all(&self, producer: Place<'_>, address: SocketAddr, start: Instant) -> Tally {
        let all = || {
            let mut tally = Tally::default();
            while start.elapsed() < self.duration {
                match converse(address) {
                    Ok(()) => tally.completed += 1,
                    Err(error) => tally.fail(format!("{error:#}")),
                }
            }
            tally
        };
        producer
            .enter(all)
            .unwrap_or_else(|error| Tally::failed(format!("{error:#}")))
    }
}

impl Tally {
    fn failed(why: String) -> Self {
        let mut tally = Self::default();
        tally.fail(why);
        tally
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(why);
    }
}

fn collect(workers: Vec<ScopedJoinHandle<'_, Tally>>) -> Vec<Tally> {
    let died = |_| Tally::failed("a worker panicked".to_owned());
    workers
        .into_iter()
        .map(|worker| worker.join().unwrap_or_else(died))
        .collect()
}

fn converse(address: SocketAddr) -> Result<()> {
    let mut stream = super::dial(address)?;
    let mut byte = [0];
    stream.write_all(&[1]).context("writing the byte")?;
    stream.read_exact(&mut byte).context("reading the answer")?;
    stream
        .shutdown(Shutdown::Write)
        .context("ending the stream")?;
    read_end(&mut stream)
}

impl Answering {
    /// Starts `workers` threads that answer what arrives at `listener`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(listener: TcpListener, workers: usize) -> Result<Self> {
        let mut answering = Self {
            listener: Arc::new(listener),
            over: Arc::default(),
            threads: Vec::new(),
        };
        for _ in 0..workers {
            let (listener, over) = (Arc::clone(&answering.listener), Arc::clone(&answering.over));
            let thread = std::thread::Builder::new()
                .name("answering".to_owned())
                .spawn(move || answer_all(&listener, &over))
                .context("starting a thread that answers connections")?;
            answering.threads.push(thread);
        }
        Ok(answering)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes everyone who waits in accept(2).
        if rustix::net::shutdown(self.listener.as_fd(), rustix::net::Shutdown::Both).is_err() {
            return;
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has told its story on stderr.
            drop(thread.join());
        }
    }
}

fn answer_all(listener: &TcpListener, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        // The one who dialled counts what goes wrong; here the next connection is what matters.
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        drop(answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> Result<()> {
    super::settle(&stream)?;
    let mut byte = [0];
    stream.read_exact(&mut byte).context("reading the byte")?;
    stream.write_all(&byte).context("answering")?;
    read_end(&mut stream)
}

fn read_end(stream: &mut TcpStream) -> Result<()> {
    let mut byte = [0];
    let read = stream.read(&mut byte).context("reading the end")?;
    anyhow::ensure!(read == 0, "a byte arrived where the end should have been");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOAD: ConnectionLoad = ConnectionLoad {
        workers: 3,
        duration: Duration::from_millis(50),
    };

    #[test]
    fn connections_are_made_and_ended_until_the_time_is_over() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let _answering = Answering::start(listener, 3).unwrap();
        LOAD.run(Place::Here, address);
        let report = LOAD.run(Place::Here, address);
        assert!(report.completed > 0, "{report:?}");
        assert_eq!((report.failed, &report.first_failure), (0, &None));
        assert!(report.seconds >= 0.05);
    }

    #[test]
    fn a_refused_connection_is_counted_as_failed() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let report = LOAD.run(Place::Here, address);
        assert_eq!(report.completed, 0);
        assert!(report.failed > 0);
        assert!(report.first_failure.unwrap().contains("dialling"));
    }
}
