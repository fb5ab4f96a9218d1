//! The same-host hop: applications on the gateway host, whose messages go straight into the egress
//! socket's queue.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bpf_tests::capability::Capability;
use bpf_tests::gateway::{ClosedConnection, Gateway, GatewayOptions, Plane, find_s2cs};
use bpf_tests::netns::Place;
use bpf_tests::patience::stretched;
use bpf_tests::require;

/// How long anything here may take.
fn deadline() -> Duration {
    stretched(Duration::from_secs(20))
}

/// The cgroup is the process's: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A cgroup of this process's own, with this process in it; left and removed on drop.
struct OwnCgroup {
    directory: PathBuf,
    parent: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl OwnCgroup {
    fn enter() -> Result<Self> {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let parent = mounts
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ');
                let at = fields.nth(1)?;
                (fields.next()? == "cgroup2").then(|| PathBuf::from(at))
            })
            .next()
            .context("no cgroup v2 is mounted")?;
        let directory = parent.join(format!("ss-apps-{}", std::process::id()));
        fs::create_dir(&directory)?;
        let own = Self {
            directory,
            parent,
            _turn: turn,
        };
        own.move_here(&own.directory)?;
        Ok(own)
    }

    fn move_here(&self, directory: &Path) -> Result<()> {
        let pid = std::process::id().to_string();
        fs::write(directory.join("cgroup.procs"), pid).context("moving into the cgroup")
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let left = self.move_here(&self.parent);
        let removed = fs::remove_dir(&self.directory);
        if let (Err(error), _) | (_, Err(error)) = (left, removed.map_err(Into::into)) {
            eprintln!("the cgroup {} stays: {error:#}", self.directory.display());
        }
    }
}

/// The gateway and both applications on loopback, all in the tracked cgroup: the gateway's own
/// sockets are tracked too, and must not be taken for an application's.
struct Hop {
    gateway: Gateway,
    dialling: TcpStream,
    listening: TcpStream,
    _cgroup: OwnCgroup,
}

impl Hop {
    fn start() -> Result<Self> {
        let cgroup = OwnCgroup::enter()?;
        let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let gateway = GatewayOptions::new(find_s2cs("debug")?, Plane::Auto)
            .listen(Ipv4Addr::LOCALHOST.into())
            .target(target.local_addr()?)
            .args(["--local-apps", &cgroup.directory.display().to_string()])
            .start(Place::Here)?;
        let dialling = TcpStream::connect(gateway.address()?)?;
        let (listening, _) = target.accept()?;
        for socket in [&dialling, &listening] {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(deadline()))?;
            socket.set_write_timeout(Some(deadline()))?;
        }
        Ok(Self {
            gateway,
            dialling,
            listening,
            _cgroup: cgroup,
        })
    }

    fn closed(self) -> Result<ClosedConnection> {
        drop(self.dialling);
        drop(self.listening);
        let mut closed = self.gateway.wait_closed(1, deadline())?;
        closed.pop().context("no connection was closed")
    }
}

fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

fn send(mut socket: &TcpStream, bytes: usize, chunk: usize) -> Result<()> {
    let block: Vec<u8> = (0..251 + chunk).map(pattern).collect();
    let mut sent = 0;
    while sent < bytes {
        let now = chunk.min(bytes - sent);
        socket.write_all(&block[sent % 251..][..now])?;
        sent += now;
    }
    socket.shutdown(Shutdown::Write)?;
    Ok(())
}

/// A blocking read of a socket in a sockmap may answer `EAGAIN`: `tcp_bpf_recvmsg` waits once, and
/// any wake-up ends the wait, room for sending too. So a reader must be ready to try again.
fn read(mut socket: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let started = Instant::now();
    loop {
        match socket.read(buffer) {
            Err(error)
                if error.kind() == ErrorKind::WouldBlock && started.elapsed() < deadline() => {}
            other => return Ok(other?),
        }
    }
}

fn receive(socket: &TcpStream, bytes: usize) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    let mut received = 0;
    loop {
        let count = read(socket, &mut buffer)?;
        if count == 0 {
            break;
        }
        for (at, byte) in buffer[..count].iter().enumerate() {
            ensure!(
                *byte == pattern(received + at),
                "wrong byte at {}",
                received + at
            );
        }
        received += count;
    }
    ensure!(received == bytes, "{received} of {bytes} bytes arrived");
    Ok(())
}

/// Messages and answers until the hop is known to be jumped: the first ones may come before the
/// gateway knows the application's socket.
fn warm_up(hop: &Hop) -> Result<usize> {
    const ROUNDS: usize = 50;
    for _ in 0..ROUNDS {
        (&hop.dialling).write_all(&[0])?;
        ensure!(
            read(&hop.listening, &mut [0])? == 1,
            "the message did not arrive"
        );
        (&hop.listening).write_all(&[0])?;
        ensure!(
            read(&hop.dialling, &mut [0])? == 1,
            "the answer did not arrive"
        );
    }
    Ok(ROUNDS)
}

/// Every byte both ways, in order, and the ledger agrees; most of them jumped the hop.
#[test]
fn messages_jump_the_hop_and_stay_in_order() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    const THERE: usize = 64 << 20;
    const BACK: usize = 16 << 20;
    let hop = Hop::start()?;
    let rounds = warm_up(&hop)?;
    std::thread::scope(|scope| -> Result<()> {
        let (dialling, listening) = (&hop.dialling, &hop.listening);
        let tasks = [
            scope.spawn(|| send(dialling, THERE, 65_536)),
            scope.spawn(|| receive(listening, THERE)),
            scope.spawn(|| send(listening, BACK, 1000)),
            scope.spawn(|| receive(dialling, BACK)),
        ];
        for task in tasks {
            task.join()
                .map_err(|_| anyhow::anyhow!("a task panicked"))??;
        }
        Ok(())
    })?;
    let closed = hop.closed()?;
    for (direction, bytes) in [(&closed.to_upstream, THERE), (&closed.to_downstream, BACK)] {
        ensure!(direction.bytes == (bytes + rounds) as u64, "{direction:?}");
        ensure!(
            direction.received == direction.accepted,
            "the ledger: {direction:?}"
        );
        ensure!(
            direction.redirected > 0,
            "nothing jumped the hop: {direction:?}"
        );
    }
    Ok(())
}

/// A reader that stops holds the application back, by its own send call, and loses nothing.
#[test]
fn a_stopped_reader_holds_the_application_back() -> Result<()> {
    require!(Capability::Bpf, Ok(()));
    const UNBOUNDED: usize = 256 << 20;
    let hop = Hop::start()?;
    let rounds = warm_up(&hop)?;
    hop.dialling.set_nonblocking(true)?;
    let block: Vec<u8> = (0..251 + 65_536).map(pattern).collect();
    let mut sent = 0;
    let mut refused_since: Option<Instant> = None;
    while refused_since.is_none_or(|since| since.elapsed() < Duration::from_millis(300)) {
        match (&hop.dialling).write(&block[sent % 251..][..65_536]) {
            Ok(count) => (sent, refused_since) = (sent + count, None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused_since.get_or_insert_with(Instant::now);
                std::thread::yield_now();
            }
            Err(error) => return Err(error.into()),
        }
        ensure!(sent < UNBOUNDED, "{sent} bytes were taken and nobody reads");
    }
    hop.dialling.shutdown(Shutdown::Write)?;
    hop.listening.shutdown(Shutdown::Write)?;
    receive(&hop.listening, sent)?;
    let closed = hop.closed()?;
    ensure!(
        closed.to_upstream.bytes == (sent + rounds) as u64,
        "{:?}",
        closed.to_upstream
    );
    ensure!(
        closed.to_upstream.redirected > 0,
        "{:?}",
        closed.to_upstream
    );
    Ok(())
}
