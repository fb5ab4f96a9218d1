//! More connections than one process may have: several processes hold them, at both ends.
//!
//! ```text
//!   dialling   open all, one byte each way ── prints `open N CONTROL` ── waits for a connection to
//!              CONTROL ── each connection sends a stamp every so often ── prints what came back
//!   answering  listens, sends back whatever comes, until it ends
//! ```
//!
//! Several answering processes have a port each, and that is how they are to be used: where tens of
//! thousands of connections have one target, the kernel searches ever longer for a free port to
//! dial from (beyond half of all ports, milliseconds for each).
//!
//! A process here is this program started anew with [`Part`] as its options; [`Crowd`] starts and
//! ends them. While nothing is sent, nobody wakes up: what is measured then is the relay's doing.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::epoll;

use crate::clock;
use crate::netns::Netns;
use crate::process::Process;

mod echo;

pub use echo::answer;

/// Connections of one process at most, below the usual hard limit of 20,000 descriptors.
pub const MOST_PER_PROCESS: usize = 17_000;

/// Bytes of a stamp: when it was sent, nanoseconds.
const STAMP: usize = 8;

/// How long opening one crowd may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(180);

/// How long an answering process may take until it listens.
const LISTEN_DEADLINE: Duration = Duration::from_secs(10);

/// How often a dialling process says what came back.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What one process of a crowd does.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Part {
    /// Send back whatever comes
    Answer {
        /// Where to listen
        at: SocketAddr,
    },
    /// Open connections, keep them quiet, then let them trickle
    Dial {
        /// How many
        count: usize,
        /// From one message of a connection to its next, milliseconds
        every_ms: u64,
        /// Where to; connections take them in turn
        #[arg(required = true)]
        to: Vec<SocketAddr>,
    },
}

/// A round trip of what trickled in one second: µs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trickled {
    /// Messages that came back.
    pub count: u64,
    /// Half of them came back within this.
    pub p50: f64,
    /// 99 of 100 did.
    pub p99: f64,
}

/// Both ends of many connections. They close when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    dialling: Vec<Dialling>,
    /// Ended after those who dial.
    _answering: Vec<Answering>,
}

/// A process that answers.
#[derive(Debug)]
pub struct Answering {
    address: SocketAddr,
    _process: Process,
}

#[derive(Debug)]
struct Dialling {
    process: Process,
    control: SocketAddr,
}

/// How a process of a crowd is started: this program, with the options that lead to [`run`].
pub type Start<'a> = &'a dyn Fn(&Netns) -> Command;

impl Answering {
    /// Starts a process at `place` that answers on a free port of `address`, for up to
    /// [`MOST_PER_PROCESS`] connections.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start(start: Start<'_>, place: &Netns, address: std::net::IpAddr) -> Result<Self> {
        let port = crate::netns::Place::from(place).free_port(address)?;
        let address = SocketAddr::new(address, port);
        let mut command = start(place);
        command.args(["answer", &address.to_string()]);
        let process = Process::spawn(command)?;
        process.wait_for_line(LISTEN_DEADLINE, |line| (line == "listening").then_some(()))?;
        Ok(Self {
            address,
            _process: process,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Crowd {
    /// Opens `count` connections from `place` to `addresses`, which lead to `answering`.
    ///
    /// # Errors
    /// When one of them does not get through; the error has the process's own words.
    pub fn open(
        start: Start<'_>,
        place: &Netns,
        (count, every): (usize, Duration),
        addresses: &[SocketAddr],
        answering: Vec<Answering>,
    ) -> Result<Self> {
        let processes = count.div_ceil(MOST_PER_PROCESS);
        let mut started = Vec::new();
        for number in 0..processes {
            // What does not divide evenly goes to the first ones.
            let share = count / processes + usize::from(number < count % processes);
            let mut command = start(place);
            command.args(["dial", &share.to_string(), &every.as_millis().to_string()]);
            command.args(addresses.iter().map(SocketAddr::to_string));
            started.push(Process::spawn(command)?);
        }
        let opened = |process: Process| {
            let control = process.wait_for_line(OPEN_DEADLINE, opened)?;
            Ok(Dialling { process, control })
        };
        let dialling: Result<_> = started.into_iter().map(opened).collect();
        Ok(Self {
            dialling: dialling?,
            _answering: answering,
        })
    }

    /// Lets every connection trickle from now on.
    ///
    /// # Errors
    /// When a process has ended.
    pub fn trickle(&self, place: &Netns) -> Result<()> {
        for dialling in &self.dialling {
            let control = dialling.control;
            let woken = place.enter(|| TcpStream::connect(control))?;
            woken.context("a dialling process does not listen to its control")?;
        }
        Ok(())
    }

    /// What trickled so far, second by second of each process, without each one's first: it is
    /// not whole.
    ///
    /// # Errors
    /// When a process has written what nobody understands.
    pub fn trickled(&self) -> Result<Vec<Trickled>> {
        let mut all = Vec::new();
        for dialling in &self.dialling {
            let (lines, _) = dialling.process.output().lines_from(0);
            let seconds = lines
                .iter()
                .filter_map(|line| line.strip_prefix("trickled "));
            let seconds: Result<Vec<Trickled>> = seconds.skip(1).map(parse).collect();
            all.extend(seconds?);
        }
        Ok(all)
    }
}

fn opened(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("open ")?.split(' ').nth(1)?.parse().ok()
}

fn parse(words: &str) -> Result<Trickled> {
    let figures: Vec<f64> = words
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[count, p50, p99] = figures.as_slice() else {
        bail!("a dialling process wrote `trickled {words}`");
    };
    Ok(Trickled {
        count: count as u64,
        p50,
        p99,
    })
}

/// What a process of a crowd does, until it is ended.
///
/// # Errors
/// When a connection fails.
pub fn run(part: Part) -> Result<()> {
    match part {
        Part::Answer { at } => {
            let listener = super::listen_at(at)?;
            say("listening")?;
            answer(listener)
        }
        Part::Dial {
            count,
            every_ms,
            to,
        } => dial(count, Duration::from_millis(every_ms), &to),
    }
}

fn dial(count: usize, every: Duration, to: &[SocketAddr]) -> Result<()> {
    ensure!(count > 0 && !to.is_empty(), "nothing to dial");
    let open = |(number, address): (usize, &SocketAddr)| {
        let stream = open_one(*address);
        stream.with_context(|| format!("connection {number} of {count}, to {address}"))
    };
    let addresses = to.iter().cycle().take(count).enumerate();
    let streams: Vec<TcpStream> = addresses.map(open).collect::<Result<_>>()?;
    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding the control")?;
    say(&format!("open {count} {}", control.local_addr()?))?;
    control.accept().context("waiting for the control")?;
    trickle(&streams, every)
}

fn open_one(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = super::dial(address)?;
    // As long as a stamp, so that what comes back is cut in stamps throughout.
    let mut stamp = [0; STAMP];
    stream
        .write_all(&stamp)
        .context("writing the first stamp")?;
    stream.read_exact(&mut stamp).context("reading it back")?;
    Ok(stream)
}

fn trickle(streams: &[TcpStream], every: Duration) -> Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll_create1")?;
    for (number, stream) in streams.iter().enumerate() {
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, stream, data, epoll::EventFlags::IN).context("epoll_ctl")?;
    }
    clock::wake_on_time()?;
    let step = clock::nanoseconds(every) / streams.len() as u64;
    let mut round_trips = Vec::new();
    let mut due = clock::now();
    let mut told = due;
    for mut stream in streams.iter().cycle() {
        due += step.max(1);
        while clock::now() < due {
            read_back(&epoll, streams, due, &mut round_trips)?;
        }
        let stamp = clock::now().to_le_bytes();
        stream
            .write_all(&stamp)
            .context("a connection took no stamp")?;
        if clock::now() - told >= clock::nanoseconds(REPORT_INTERVAL) {
            told = clock::now();
            tell(&mut round_trips)?;
        }
    }
    Ok(())
}

/// Reads what comes back until `due`, and notes how long it took.
fn read_back(
    epoll: impl AsFd,
    streams: &[TcpStream],
    due: u64,
    round_trips: &mut Vec<u64>,
) -> Result<()> {
    let mut events = Vec::with_capacity(256);
    let left = Duration::from_nanos(due.saturating_sub(clock::now()));
    let left = rustix::event::Timespec::try_from(left).context("a due time beyond the clock")?;
    let spare = rustix::buffer::spare_capacity(&mut events);
    match epoll::wait(epoll, spare, Some(&left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error).context("epoll_wait"),
    }
    for event in events {
        let number = event.data.u64() as usize;
        let mut stream = streams.get(number).context("an event of no connection")?;
        let mut stamp = [0; STAMP];
        stream
            .read_exact(&mut stamp)
            .with_context(|| format!("connection {number} of the crowd"))?;
        round_trips.push(clock::now().saturating_sub(u64::from_le_bytes(stamp)));
    }
    Ok(())
}

fn tell(round_trips: &mut Vec<u64>) -> Result<()> {
    round_trips.sort_unstable();
    let at = |share: f64| {
        let rank = (round_trips.len() as f64 * share) as usize;
        let last = round_trips.len().saturating_sub(1);
        round_trips.get(rank.min(last)).copied().unwrap_or_default() as f64 / 1e3
    };
    let line = format!(
        "trickled {} {:.1} {:.1}",
        round_trips.len(),
        at(0.50),
        at(0.99)
    );
    round_trips.clear();
    say(&line)
}

/// A line for the process that reads ours; an error when nobody does.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("nobody reads what this process says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_process_are_understood() {
        assert_eq!(opened("open 17 127.0.0.1:99"), "127.0.0.1:99".parse().ok());
        assert_eq!(opened("listening"), None);
        let trickled = parse("1000 25.5 90.0").unwrap();
        assert_eq!(
            (trickled.count, trickled.p50, trickled.p99),
            (1_000, 25.5, 90.0)
        );
        assert!(parse("1000 x").is_err());
    }

    #[test]
    fn a_stamp_comes_back_from_the_one_who_answers() {
        let listener = super::super::listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || answer(listener));
        let streams: Vec<_> = (0..5).map(|_| open_one(address).unwrap()).collect();
        assert_eq!(streams.len(), 5);
        assert!(!answering.is_finished());
    }
}
