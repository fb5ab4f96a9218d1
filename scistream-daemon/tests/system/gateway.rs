//! A running `s2cs forward` that a test can talk to, and that ends with the test.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What takes longer than this on a busy machine has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command under test.
pub(crate) fn s2cs() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s2cs"));
    command.env_remove("S2CS_LOG").stdin(Stdio::null());
    command
}

/// Runs `s2cs` with arguments that end it at once.
pub(crate) fn run(args: &[&str]) -> Output {
    s2cs().args(args).output().unwrap()
}

/// A running gateway.
pub(crate) struct Gateway {
    process: Child,
    lines: Receiver<Value>,
    seen: VecDeque<Value>,
    pub(crate) listens: Vec<SocketAddr>,
}

impl Gateway {
    /// Starts `s2cs forward` on a free loopback port in front of `targets`, on the copy plane.
    pub(crate) fn before(targets: &[SocketAddr], extra: &[&str]) -> Self {
        let mut args = vec!["--listen", "127.0.0.1:0", "--plane", "copy"];
        args.extend(extra);
        Self::start(targets, &args)
    }

    /// Starts `s2cs forward` with these arguments, and waits until it listens.
    pub(crate) fn start(targets: &[SocketAddr], args: &[&str]) -> Self {
        let mut command = s2cs();
        command.args(["forward", "--log-format", "json"]);
        for target in targets {
            command.arg("--target").arg(target.to_string());
        }
        command.args(args).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = read_lines(process.stderr.take().unwrap());
        let mut gateway = Self {
            process,
            lines,
            seen: VecDeque::new(),
            listens: Vec::new(),
        };
        let listeners = args.iter().filter(|arg| **arg == "--listen").count();
        for _ in 0..listeners {
            let line = gateway.wait_for("listening");
            let listen = line["listen"].as_str().unwrap().parse().unwrap();
            gateway.listens.push(listen);
        }
        gateway
    }

    /// Connects to the first listener.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.listens[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The next line with this message that was not asked for yet.
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        if let Some(at) = self.seen.iter().position(|line| line["message"] == message) {
            return self.seen.remove(at).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line["message"] == message => return line,
                Ok(line) => self.seen.push_back(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no \"{message}\" in the log, but {:#?}", self.seen)
                }
            }
        }
    }

    /// Ends the gateway and returns every line that was not asked for.
    pub(crate) fn stop(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        assert_eq!(self.exit_status().code(), Some(0));
        let rest = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok());
        let mut all: Vec<Value> = rest.collect();
        all.extend(std::mem::take(&mut self.seen));
        all
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn exit_status(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn read_lines(stderr: ChildStderr) -> Receiver<Value> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line)
                .unwrap_or_else(|error| Value::String(format!("{error}: {line}")));
            if sender.send(parsed).is_err() {
                break;
            }
        }
    });
    lines
}

/// A listener of the test's own, as a target.
pub(crate) fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts what the gateway dialled.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A target that returns whatever it gets, for ever.
pub(crate) fn echo() -> SocketAddr {
    let (listener, address) = target();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = stream.try_clone()?;
                let mut writer = stream;
                std::io::copy(&mut reader, &mut writer)?;
                writer.shutdown(Shutdown::Write)
            });
        }
    });
    address
}

/// An address where nobody listens; as long as the listener's twin lives, nobody else will.
pub(crate) fn nobody() -> SocketAddr {
    let (listener, address) = target();
    drop(listener);
    address
}

/// Sends a message and waits until it comes back.
pub(crate) fn round_trip(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut got = vec![0; message.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, message);
}

/// Reads to the end, which must be a reset; returns what came before it.
pub(crate) fn read_until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    let mut block = [0; 65_536];
    loop {
        match stream.read(&mut block) {
            Ok(0) => panic!(
                "a clean end after {} bytes, where a reset was due",
                got.len()
            ),
            Ok(length) => got.extend_from_slice(&block[..length]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return got;
            }
        }
    }
}

/// Makes the peer see a reset.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}
