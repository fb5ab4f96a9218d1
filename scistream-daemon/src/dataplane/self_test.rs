//! Proves at start, on loopback, that this kernel's sockmap does what the plane needs.
//!
//! Version numbers do not tell: distributions port fixes back and forth. So one connection goes
//! through the real plane: a message is redirected, a reader stops until the sender is held back,
//! everything arrives in order once it reads again, and a FIN behind it is passed on.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineConfig, EngineError};
use super::live::RelayOrder;
use super::sockmap::Program;
use super::{EndReason, PlaneChoice, StreamPair, Transferred};
use crate::sys::sockopt::{self, Buffer};

/// A healthy kernel needs some tens of milliseconds; a busy host gets more before it is declined.
const DEADLINE: Duration = Duration::from_secs(3);
/// Buffers of the sockets under test: small, so that a reader that stops is felt soon.
const BUFFER_BYTES: usize = 256 * 1024;
/// Goes against the bulk.
const MESSAGE: &[u8] = b"hello";
/// What a sender without back-pressure would get rid of.
const UNBOUNDED_BYTES: usize = 32 << 20;

/// What the kernel did wrong.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The test could not be set up.
    #[error("the self-test could not be set up")]
    SetUp(#[source] io::Error),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A call failed or took too long at the named step.
    #[error("the kernel did not {step} in time")]
    Step {
        /// What was to happen.
        step: &'static str,
        /// How it failed.
        source: io::Error,
    },
    /// Bytes arrived that were not sent there.
    #[error("bytes were lost, repeated or reordered at offset {0}")]
    Corrupt(usize),
    /// A sender was never held back.
    #[error("a stopped reader did not hold its sender back within {UNBOUNDED_BYTES} bytes")]
    Unbounded,
    /// The connection's own account is wrong.
    #[error(
        "the connection's account is wrong: {} to the upstream, {} back, ended as {}",
        .0.to_upstream, .0.to_downstream, .0.end.as_str()
    )]
    Ledger(Box<Transferred>),
}

/// The pattern's byte at `offset`; its period is prime to every power of two.
fn pattern(offset: usize) -> u8 {
    (offset % 251) as u8
}

/// Runs the test; answers how long it took.
///
/// # Errors
/// The first step that went wrong.
pub fn run(program: &Arc<Program>) -> Result<Duration, SelfTestError> {
    let started = Instant::now();
    let engine = Engine::start(EngineConfig {
        workers: 1,
        choice: PlaneChoice::Sockmap,
        program: Some(Arc::clone(program)),
        wide_pipes: 0,
    })?;
    let (mut sender, downstream) = connected().map_err(SelfTestError::SetUp)?;
    let (upstream, mut reader) = connected().map_err(SelfTestError::SetUp)?;
    for socket in [&downstream, &upstream] {
        socket.set_nonblocking(true).map_err(SelfTestError::SetUp)?;
    }
    let (report, ended) = mpsc::channel();
    let pair = StreamPair {
        downstream,
        upstream,
    };
    engine.submit(pair, RelayOrder::default(), move |transferred| {
        let _gave_up_waiting = report.send(transferred);
    });

    let messages = send_until_redirected(program, &mut reader, &mut sender)?;
    let sent = fill_until_held_back(&mut sender)?;
    step("pass a FIN on", || {
        sender.shutdown(std::net::Shutdown::Write)
    })?;
    check_all(&mut reader, sent)?;
    drop(reader);
    drop(sender);
    let transferred = step("end the connection", || {
        ended
            .recv_timeout(DEADLINE)
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
    })?;
    judge(transferred, sent, messages)?;
    Ok(started.elapsed())
}

fn step<T>(step: &'static str, action: impl FnOnce() -> io::Result<T>) -> Result<T, SelfTestError> {
    action().map_err(|source| SelfTestError::Step { step, source })
}

/// Sends messages against the bulk until the verdict has redirected one, the first ones coming
/// before the hand-over; answers how many.
fn send_until_redirected(
    program: &Program,
    from: &mut TcpStream,
    to: &mut TcpStream,
) -> Result<u64, SelfTestError> {
    let before = program.redirected();
    let started = Instant::now();
    for messages in 1.. {
        step("pass a message on", || {
            from.write_all(MESSAGE)?;
            to.read_exact(&mut [0; MESSAGE.len()])
        })?;
        if program.redirected() > before {
            return Ok(messages);
        }
        if started.elapsed() > DEADLINE {
            break;
        }
    }
    let source = io::ErrorKind::TimedOut.into();
    Err(SelfTestError::Step {
        step: "redirect a message",
        source,
    })
}

/// Writes the pattern until nothing more is taken.
fn fill_until_held_back(sender: &mut TcpStream) -> Result<usize, SelfTestError> {
    let block: Vec<u8> = (0..251 * 256).map(pattern).collect();
    sender.set_nonblocking(true).map_err(SelfTestError::SetUp)?;
    let mut sent = 0;
    let mut held_since: Option<Instant> = None;
    // The chain fills by and by: it is full when nothing was taken for a while.
    while held_since.is_none_or(|since| since.elapsed() < Duration::from_millis(20)) {
        let from = sent % 251;
        match sender.write(&block[from..]) {
            Ok(count) => (sent, held_since) = (sent + count, None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                held_since.get_or_insert_with(Instant::now);
                std::thread::yield_now();
            }
            Err(source) => {
                return Err(SelfTestError::Step {
                    step: "take bytes",
                    source,
                });
            }
        }
        if sent > UNBOUNDED_BYTES {
            return Err(SelfTestError::Unbounded);
        }
    }
    sender
        .set_nonblocking(false)
        .map_err(SelfTestError::SetUp)?;
    Ok(sent)
}

fn check_all(reader: &mut TcpStream, sent: usize) -> Result<(), SelfTestError> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    loop {
        let count = step("deliver what was sent", || reader.read(&mut buffer))?;
        if count == 0 {
            break;
        }
        let wrong = (0..count).find(|at| buffer[*at] != pattern(received + at));
        if let Some(at) = wrong {
            return Err(SelfTestError::Corrupt(received + at));
        }
        received += count;
    }
    if received == sent {
        Ok(())
    } else {
        Err(SelfTestError::Corrupt(received))
    }
}

fn judge(transferred: Transferred, sent: usize, messages: u64) -> Result<(), SelfTestError> {
    let Transferred {
        to_upstream,
        to_downstream,
        end,
    } = &transferred;
    let right = *end == EndReason::Finished
        && to_upstream.balances()
        && to_downstream.balances()
        && to_upstream.moved() == sent as u64
        && to_upstream.redirected > 0
        && to_upstream.copied > 0
        && to_downstream.moved() == messages * MESSAGE.len() as u64
        && to_downstream.redirected > 0;
    if right {
        Ok(())
    } else {
        Err(SelfTestError::Ledger(Box::new(transferred)))
    }
}

/// A connected pair on loopback with small buffers and a deadline on every call.
fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let dialled = TcpStream::connect(listener.local_addr()?)?;
    let (accepted, _) = listener.accept()?;
    for socket in [&dialled, &accepted] {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        sockopt::set_buffer(socket, Buffer::Send, BUFFER_BYTES)?;
        sockopt::set_buffer(socket, Buffer::Receive, BUFFER_BYTES)?;
    }
    Ok((dialled, accepted))
}
