//! Sessions on loopback, and the applications on both of their sides.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use scistream_daemon::cli::LogFormat;
use scistream_daemon::connection_log::ConnectionLog;
use scistream_daemon::dataplane::PlaneChoice;
use scistream_daemon::dataplane::copy::CopyPlane;
use scistream_daemon::dataplane::engine::{Engine, EngineConfig};
use scistream_daemon::dataplane::plane::StreamPlane;
use scistream_daemon::listener::Admission;
use scistream_daemon::session::{
    Caller, CreateSession, Greeting, Hello, Principal, Role, SessionId, Target,
};
use scistream_daemon::sessions::{Sessions, SessionsConfig, SharedParts};

/// What takes longer than this on a busy machine has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Listeners on loopback, on ports that the kernel picks.
pub(crate) fn config() -> SessionsConfig {
    let mut config = SessionsConfig {
        listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        ..SessionsConfig::default()
    };
    config.registry.ports = 0..=0;
    config
}

/// The planes that need no privilege.
pub(crate) fn planes() -> [StreamPlane; 2] {
    [StreamPlane::Copy(CopyPlane::new()), splice()]
}

fn splice() -> StreamPlane {
    let engine = Engine::start(EngineConfig {
        workers: 2,
        choice: PlaneChoice::Splice,
        program: None,
        wide_pipes: 0,
    });
    StreamPlane::Engine(engine.unwrap())
}

pub(crate) fn start_on(plane: StreamPlane, config: SessionsConfig) -> Sessions {
    let shared = SharedParts {
        plane,
        admission: Arc::new(Admission::new(1000)),
        log: Arc::new(ConnectionLog::new(LogFormat::Text)),
    };
    Sessions::start(config, shared)
}

pub(crate) fn start(config: SessionsConfig) -> Sessions {
    start_on(splice(), config)
}

pub(crate) fn alice() -> Caller {
    Caller::unlimited(Principal::new("alice"))
}

pub(crate) fn mallory() -> Caller {
    Caller::unlimited(Principal::new("mallory"))
}

pub(crate) fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

/// As an old `req` asks.
pub(crate) fn req(uid: &str, listeners: u32) -> CreateSession {
    CreateSession {
        id: Some(id(uid)),
        listeners,
        greeting: Greeting::Awaited(None),
        ..CreateSession::plain(Role::Producer)
    }
}

/// A session that forwards to `targets` from the start.
pub(crate) fn forwarding(targets: &[SocketAddr]) -> CreateSession {
    CreateSession {
        listeners: targets.len() as u32,
        targets: targets.iter().copied().map(Target::from).collect(),
        ..CreateSession::plain(Role::Producer)
    }
}

pub(crate) fn hello(targets: &[SocketAddr]) -> Hello {
    Hello {
        role: Role::Producer,
        targets: targets.iter().copied().map(Target::from).collect(),
    }
}

/// A target of the test's own.
pub(crate) fn target() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A target that greets whoever comes with its name, and echoes.
pub(crate) fn named(name: u8) -> SocketAddr {
    let (listener, address) = target();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone()?;
                writer.write_all(&[name])?;
                std::io::copy(&mut &stream, &mut writer)?;
                writer.shutdown(std::net::Shutdown::Write)
            });
        }
    });
    address
}

/// Runs what blocks, beside the runtime.
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let run = tokio::task::spawn_blocking(run);
    tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap()
}

/// Connects; reads give up with an error in the end.
pub(crate) fn connect(listen: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Connects, and answers which target greeted.
pub(crate) async fn greeted_by(listen: SocketAddr) -> (TcpStream, u8) {
    blocking(move || {
        let mut stream = connect(listen);
        let name = read_byte(&mut stream);
        (stream, name)
    })
    .await
}

pub(crate) fn read_byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

/// Sends a message and waits until it comes back.
pub(crate) fn round_trip(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut got = vec![0; message.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, message);
}

/// Reads to the end, which must be a reset.
pub(crate) fn must_be_reset(mut stream: TcpStream) {
    let mut block = [0; 65_536];
    let end = loop {
        match stream.read(&mut block) {
            Ok(0) => panic!("a clean end, where a reset was due"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}

/// Whether nobody listens at `address`.
pub(crate) fn refuses(address: SocketAddr) -> bool {
    let refused = TcpStream::connect(address).map(drop);
    refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let so = tokio::time::timeout(PATIENCE, asking).await;
    so.unwrap_or_else(|_| panic!("it does not come to that: {what}"));
}
