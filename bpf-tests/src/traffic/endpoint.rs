//! One end of a connection: a blocking socket with deadlines that sends the next bytes of one
//! stream and checks that what comes are the next bytes of another.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::net::{SendFlags, send, sockopt};

use super::ending::Ending;
use super::pattern::{Pattern, RunningHash};
use super::seed::Draw;
use super::sys;
use super::watch::Watch;

/// How long a read or write may take before it counts as stuck, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes per read and write when nothing else is asked for.
const BLOCK: usize = 256 << 10;
/// A socket that has taken nothing for so long is stuck: some hundred times what a reader that
/// reads, or a kernel that moves, needs on a busy machine.
const STUCK_AFTER: Duration = Duration::from_millis(300);
/// Pause between two looks at a socket that takes nothing.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// A connected socket, the stream it sends and the stream it expects.
pub struct Endpoint {
    name: String,
    stream: TcpStream,
    watch: Watch,
    sending: Mutex<Half>,
    receiving: Mutex<Half>,
}

/// One direction of an endpoint.
struct Half {
    pattern: Pattern,
    hash: RunningHash,
    buffer: Vec<u8>,
}

/// What an endpoint says of the stream it sends, to a peer that cannot know which it will be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// The stream's seed.
    pub seed: u64,
    /// How many bytes of it follow.
    pub bytes: u64,
}

/// How fast an endpoint sends.
#[derive(Clone, Debug)]
pub enum Pace {
    /// So many bytes, then a pause of this length, again and again.
    Every(u64, Duration),
    /// As fast as the socket takes it.
    Full,
    /// Random sizes up to the first, after random pauses up to the second.
    Random(Draw, u64, Duration),
}

/// A reader that pauses: so long, each time it has read so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stalls {
    /// Bytes between pauses.
    pub every: u64,
    /// Length of a pause.
    pub pause: Duration,
}

impl Endpoint {
    /// Takes a connected socket that sends `outgoing` and expects `incoming`.
    pub fn new(
        name: impl Into<String>,
        stream: TcpStream,
        [outgoing, incoming]: [Pattern; 2],
        watch: &Watch,
    ) -> Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let endpoint = Self {
            name: name.into(),
            stream,
            watch: watch.clone(),
            sending: Mutex::new(Half::new(outgoing)),
            receiving: Mutex::new(Half::new(incoming)),
        };
        endpoint.set_patience(PATIENCE)?;
        Ok(endpoint)
    }

    /// Sets how long a read or write may take before it counts as stuck.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        Ok(())
    }

    /// Limits the receive buffer, so that a reader that stops is felt after about so many bytes.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.stream, bytes)?)
    }

    /// Sets the send buffer beyond the system's limit; needs CAP_NET_ADMIN.
    pub fn force_send_buffer(&self, bytes: usize) -> Result<()> {
        Ok(sockopt::set_socket_send_buffer_size_force(
            &self.stream,
            bytes,
        )?)
    }

    /// The socket's own address.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// The socket's own address, and its peer's.
    pub(super) fn addresses(&self) -> Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
    }

    /// The socket's sequence numbers; needs CAP_NET_ADMIN.
    pub(super) fn sequence(&self) -> Result<sys::Sequence> {
        sys::sequence(&self.stream).context("TCP_REPAIR")
    }

    /// The stream it sends.
    pub fn outgoing(&self) -> Pattern {
        lock(&self.sending).pattern
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        lock(&self.sending).hash.bytes()
    }

    /// Bytes received, and found right, so far.
    pub fn received(&self) -> u64 {
        lock(&self.receiving).hash.bytes()
    }

    /// The hash of the bytes sent so far.
    pub fn sent_digest(&self) -> u64 {
        lock(&self.sending).hash.digest()
    }

    /// The hash of the bytes received so far.
    pub fn received_digest(&self) -> u64 {
        lock(&self.receiving).hash.digest()
    }

    /// Bytes sent that the peer's kernel has not acknowledged.
    pub fn unacknowledged(&self) -> Result<u64> {
        sys::unacknowledged(&self.stream).context("SIOCOUTQ")
    }

    /// Bytes that came and were not received yet.
    pub fn unread(&self) -> Result<u64> {
        sys::unread(&self.stream).context("FIONREAD")
    }

    /// Sends the seed of its stream and how many bytes of it will follow. These 16 bytes count as
    /// the first of the stream.
    pub fn introduce(&self, bytes: u64) -> Result<()> {
        let mut half = lock(&self.sending);
        let words = [half.pattern.seed(), bytes].map(u64::to_le_bytes).concat();
        let room = half.room(words.len() as u64);
        half.buffer[..room].copy_from_slice(&words);
        self.write_all(&mut half, room)
    }

    /// Receives the peer's introduction; what follows is checked against that stream.
    pub fn meet(&self) -> Result<Introduction> {
        let mut half = lock(&self.receiving);
        let _waiting = self.waiting("receiving the introduction");
        let mut words = [[0; 8]; 2];
        for word in &mut words {
            let read = (&self.stream).read_exact(word);
            read.map_err(|error| self.failed("receiving the introduction", &half, error))?;
            half.hash.update(word);
        }
        let [seed, bytes] = words.map(u64::from_le_bytes);
        half.pattern = Pattern::new(seed);
        Ok(Introduction { seed, bytes })
    }

    /// Sends the next `bytes` of the stream, as fast as the socket takes them.
    pub fn send(&self, bytes: u64) -> Result<()> {
        self.send_paced(bytes, Pace::Full)
    }

    /// Sends the next `bytes` of the stream at this pace.
    pub fn send_paced(&self, bytes: u64, mut pace: Pace) -> Result<()> {
        let mut half = lock(&self.sending);
        let end = half.hash.bytes() + bytes;
        let waiting = self.waiting(&format!("sending up to byte {end}"));
        while half.hash.bytes() < end {
            let (most, pause) = pace.next_step();
            thread::sleep(pause);
            let left = end - half.hash.bytes();
            let part = half.prepare(most.min(left));
            self.write_all(&mut half, part)?;
            waiting.at(half.hash.bytes());
        }
        Ok(())
    }

    /// Sends the next byte of the stream as urgent data.
    pub fn send_urgent(&self) -> Result<()> {
        let mut half = lock(&self.sending);
        let _waiting = self.waiting("sending an urgent byte");
        let part = half.prepare(1);
        let sent = send(&self.stream, &half.buffer[..part], SendFlags::OOB);
        let sent = sent.map_err(|errno| self.failed("sending", &half, errno.into()))?;
        half.advance(sent);
        Ok(())
    }

    /// Sends as many of the next `most` bytes as the socket takes without waiting.
    pub fn offer(&self, most: u64) -> Result<u64> {
        let mut half = lock(&self.sending);
        let start = half.hash.bytes();
        while half.hash.bytes() < start + most {
            let left = start + most - half.hash.bytes();
            let part = half.prepare(left);
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match send(&self.stream, &half.buffer[..part], flags) {
                Ok(taken) => half.advance(taken),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(errno) => return Err(self.failed("sending", &half, errno.into())),
            }
        }
        Ok(half.hash.bytes() - start)
    }

    /// Sends as many of the next `most` bytes as everything on the way takes while nobody reads:
    /// until the socket has taken nothing for a while.
    pub fn offer_until_stuck(&self, most: u64) -> Result<u64> {
        let waiting = self.waiting("sending until stuck");
        let (mut taken, mut moved) = (0, Instant::now());
        while taken < most && moved.elapsed() < STUCK_AFTER {
            let more = self.offer(most - taken)?;
            if more > 0 {
                (taken, moved) = (taken + more, Instant::now());
                waiting.at(taken);
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(taken)
    }

    /// Sends until the connection breaks; fails if `most` bytes were taken before that.
    pub fn send_until_reset(&self, most: u64) -> Result<()> {
        let mut half = lock(&self.sending);
        let waiting = self.waiting("sending until the connection breaks");
        while half.hash.bytes() < most {
            let part = half.prepare(most);
            match (&self.stream).write(&half.buffer[..part]) {
                Ok(taken) => half.advance(taken),
                Err(error) if Ending::from_error(&error).is_some() => return Ok(()),
                Err(error) => return Err(self.failed("sending", &half, error)),
            }
            waiting.at(half.hash.bytes());
        }
        bail!("{}: {most} bytes were taken and no RST came", self.name)
    }

    /// Sends a FIN.
    pub fn finish(&self) -> Result<()> {
        self.stream
            .shutdown(Shutdown::Write)
            .with_context(|| format!("{}: shutdown", self.name))
    }

    /// Closes the socket with an RST.
    pub fn reset(self) -> Result<()> {
        sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        drop(self);
        Ok(())
    }

    /// Receives and checks the next `bytes` of the expected stream.
    pub fn receive(&self, bytes: u64) -> Result<()> {
        let stalls = Stalls {
            every: u64::MAX,
            pause: Duration::ZERO,
        };
        self.receive_stalling(bytes, stalls)
    }

    /// Receives and checks the next `bytes`, pausing on the way.
    pub fn receive_stalling(&self, bytes: u64, stalls: Stalls) -> Result<()> {
        let mut half = lock(&self.receiving);
        let end = half.hash.bytes() + bytes;
        let waiting = self.waiting(&format!("receiving up to byte {end}"));
        let mut next_stall = half.hash.bytes().saturating_add(stalls.every);
        while half.hash.bytes() < end {
            let most = end - half.hash.bytes();
            match self.read(&mut half, most)? {
                Ok(_some) => {}
                Err(ending) => bail!(
                    "{}: {ending} came at byte {} where {end} bytes were expected",
                    self.name,
                    half.hash.bytes()
                ),
            }
            waiting.at(half.hash.bytes());
            if half.hash.bytes() >= next_stall {
                next_stall += stalls.every;
                thread::sleep(stalls.pause);
            }
        }
        Ok(())
    }

    /// Receives and checks everything up to the end of the stream, and says how it ended.
    pub fn receive_to_end(&self) -> Result<Ending> {
        let mut half = lock(&self.receiving);
        let waiting = self.waiting("receiving to the end");
        loop {
            match self.read(&mut half, u64::MAX)? {
                Ok(_some) => waiting.at(half.hash.bytes()),
                Err(ending) => return Ok(ending),
            }
        }
    }

    /// Receives everything up to the end without looking at it, and says how the stream ended.
    pub fn drain_to_end(&self) -> Result<Ending> {
        let mut half = lock(&self.receiving);
        let _waiting = self.waiting("draining to the end");
        let room = half.room(u64::MAX);
        loop {
            match (&self.stream).read(&mut half.buffer[..room]) {
                Ok(0) => return Ok(Ending::Finished),
                Ok(_some) => {}
                Err(error) => {
                    return Ending::from_error(&error)
                        .ok_or_else(|| self.failed("draining", &half, error));
                }
            }
        }
    }

    /// Waits for the FIN, before which no further byte may come.
    pub fn receive_fin(&self) -> Result<()> {
        let before = self.received();
        let ending = self.receive_to_end()?;
        let name = &self.name;
        ensure!(
            ending == Ending::Finished,
            "{name}: {ending} came instead of a FIN after byte {before}"
        );
        let more = self.received() - before;
        ensure!(
            more == 0,
            "{name}: {more} bytes came after byte {before} where a FIN was expected"
        );
        Ok(())
    }

    /// Reads once; the inner error is the end of the stream.
    fn read(&self, half: &mut Half, most: u64) -> Result<Result<u64, Ending>> {
        let room = half.room(most);
        match (&self.stream).read(&mut half.buffer[..room]) {
            Ok(0) => Ok(Err(Ending::Finished)),
            Ok(bytes) => {
                let Half {
                    pattern,
                    hash,
                    buffer,
                } = half;
                pattern
                    .check(hash.bytes(), &buffer[..bytes])
                    .with_context(|| {
                        format!("{}: wrong bytes (stream {:#x})", self.name, pattern.seed())
                    })?;
                hash.update(&buffer[..bytes]);
                Ok(Ok(bytes as u64))
            }
            Err(error) => match Ending::from_error(&error) {
                Some(ending) => Ok(Err(ending)),
                None => Err(self.failed("receiving", half, error)),
            },
        }
    }

    fn write_all(&self, half: &mut Half, bytes: usize) -> Result<()> {
        let mut written = 0;
        while written < bytes {
            match (&self.stream).write(&half.buffer[written..bytes]) {
                Ok(taken) => {
                    half.hash.update(&half.buffer[written..written + taken]);
                    written += taken;
                }
                Err(error) => return Err(self.failed("sending", half, error)),
            }
        }
        Ok(())
    }

    fn failed(&self, doing: &str, half: &Half, error: io::Error) -> anyhow::Error {
        let (name, at) = (&self.name, half.hash.bytes());
        if error.kind() == io::ErrorKind::WouldBlock {
            return anyhow!(
                "{name}: {doing} is stuck at byte {at}: nothing moved for the deadline"
            );
        }
        anyhow!(error).context(format!("{name}: {doing} failed at byte {at}"))
    }

    fn waiting(&self, doing: &str) -> super::Waiting {
        self.watch.waiting(format!("{}: {doing}", self.name))
    }
}

impl Half {
    fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            hash: RunningHash::default(),
            buffer: Vec::new(),
        }
    }

    /// Makes room for at most `most` bytes, or a block.
    fn room(&mut self, most: u64) -> usize {
        let room = usize::try_from(most).unwrap_or(BLOCK).min(BLOCK);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        room
    }

    /// Puts the next bytes of the stream into the buffer: at most `most`, or a block.
    fn prepare(&mut self, most: u64) -> usize {
        let part = self.room(most);
        self.pattern
            .fill(self.hash.bytes(), &mut self.buffer[..part]);
        part
    }

    fn advance(&mut self, bytes: usize) {
        self.hash.update(&self.buffer[..bytes]);
    }
}

impl Pace {
    /// The most bytes of the next write, and the pause before it.
    fn next_step(&mut self) -> (u64, Duration) {
        match self {
            Self::Every(bytes, pause) => (*bytes, *pause),
            Self::Full => (BLOCK as u64, Duration::ZERO),
            Self::Random(draw, most_bytes, most_pause) => {
                (draw.within(1..*most_bytes + 1), draw.pause(*most_pause))
            }
        }
    }
}

fn lock(half: &Mutex<Half>) -> MutexGuard<'_, Half> {
    half.lock().unwrap_or_else(PoisonError::into_inner)
}
