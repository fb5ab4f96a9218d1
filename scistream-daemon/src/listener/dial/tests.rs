//! Dialling loopback addresses that answer, refuse, or stay silent.

use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::cli::HostPort;

const PLENTY: Duration = Duration::from_secs(30);

fn dialer(targets: &[String], timeout: Duration) -> Dialling {
    let specs: Vec<HostPort> = targets.iter().map(|spec| spec.parse().unwrap()).collect();
    let own = Arc::new(OwnListeners::default());
    Dialling {
        targets: Arc::new(Targets::resolve(&specs).unwrap()),
        dialer: Dialer::new(SocketOptions::default(), timeout, Arc::clone(&own)),
        own,
    }
}

/// A dialler with its targets.
struct Dialling {
    targets: Arc<Targets>,
    dialer: Dialer,
    own: Arc<OwnListeners>,
}

impl Dialling {
    fn prepare(&self) -> Result<Prepared, sys::Error> {
        self.dialer.prepare(&self.targets)
    }

    async fn dial(&self, prepared: Prepared, downstream: &TcpStream) -> Result<Dialled, Refusal> {
        self.dialer
            .dial(self.dialer.begin(prepared), downstream)
            .await
    }
}

/// An accepted socket and its peer.
fn accepted() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    (accepted, peer)
}

fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An address where nobody listens, as long as the socket lives: bound, not listening.
fn refusing() -> (OwnedFd, String) {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&socket, &any).unwrap();
    let bound = SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    (socket, bound.to_string())
}

/// A listener that answers no more: its backlog is full.
fn silent() -> (OwnedFd, Vec<TcpStream>, String) {
    let (socket, address) = refusing();
    rustix::net::listen(&socket, 0).unwrap();
    let peer: SocketAddr = address.parse().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&peer, Duration::from_millis(100)) {
        waiting.push(stream);
    }
    (socket, waiting, address)
}

async fn dial(dialer: &Dialling, downstream: &TcpStream) -> Result<Dialled, Refusal> {
    dialer.dial(dialer.prepare().unwrap(), downstream).await
}

#[tokio::test]
async fn a_target_that_listens_is_reached_with_the_options_set() {
    let (listener, address) = listening();
    let (downstream, _peer) = accepted();
    let dialled = dial(&dialer(&[address], PLENTY), &downstream)
        .await
        .unwrap();
    let (mut far, _) = listener.accept().unwrap();
    far.write_all(b"x").unwrap();
    assert!(dialled.stream.nodelay().unwrap());
    assert_eq!(dialled.address, listener.local_addr().unwrap());
}

#[tokio::test]
async fn a_refusing_target_is_named_with_its_reason() {
    let (_holder, address) = refusing();
    let (downstream, _peer) = accepted();
    let refusal = dial(&dialer(std::slice::from_ref(&address), PLENTY), &downstream)
        .await
        .unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::UpstreamUnreachable);
    let sentence = refusal.to_string();
    assert!(
        sentence.contains(&address) && sentence.contains("refused"),
        "{sentence}"
    );
}

#[tokio::test]
async fn the_next_target_takes_what_the_first_refuses() {
    let (_holder, refusing) = refusing();
    let (_listener, address) = listening();
    let dialer = dialer(&[refusing, address.clone()], PLENTY);
    for _ in 0..2 {
        let (downstream, _peer) = accepted();
        let dialled = dial(&dialer, &downstream).await.unwrap();
        assert_eq!(dialled.address.to_string(), address);
    }
}

#[tokio::test]
async fn a_silent_target_is_given_up_and_leaves_time_for_the_next() {
    let (_listener, _waiting, silent) = silent();
    let (_other, address) = listening();
    let (downstream, _peer) = accepted();
    let refusal = dial(
        &dialer(std::slice::from_ref(&silent), Duration::from_millis(50)),
        &downstream,
    )
    .await;
    assert_eq!(refusal.unwrap_err().reason, RefusalReason::UpstreamTimeout);
    let both = dialer(&[silent, address.clone()], Duration::from_millis(200));
    let dialled = dial(&both, &downstream).await.unwrap();
    assert_eq!(dialled.address.to_string(), address);
}

#[tokio::test]
async fn a_reset_of_the_accepted_side_ends_the_dial() {
    let (_listener, _waiting, silent) = silent();
    let (downstream, peer) = accepted();
    sockopt::set_linger_zero(&peer).unwrap();
    drop(peer);
    let refusal = dial(&dialer(&[silent], PLENTY), &downstream)
        .await
        .unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::DownstreamGone);
}

#[tokio::test]
async fn a_name_that_moved_is_resolved_again() {
    let (listener, address) = listening();
    let port = listener.local_addr().unwrap().port();
    let dialer = dialer(&[format!("localhost:{port}")], PLENTY);
    dialer
        .targets
        .pretend_resolved("127.0.0.2:1".parse().unwrap());
    let (downstream, _peer) = accepted();
    let dialled = dial(&dialer, &downstream).await.unwrap();
    assert_eq!(dialled.address.to_string(), address);
}

#[test]
fn errors_become_reasons() {
    for (errno, reason) in [
        (Errno::CONNREFUSED, RefusalReason::UpstreamUnreachable),
        (Errno::HOSTUNREACH, RefusalReason::UpstreamUnreachable),
        (Errno::NETUNREACH, RefusalReason::UpstreamUnreachable),
        (Errno::TIMEDOUT, RefusalReason::UpstreamTimeout),
        (Errno::ADDRNOTAVAIL, RefusalReason::LocalPortsExhausted),
        (Errno::MFILE, RefusalReason::OpenFileLimit),
        (Errno::NOBUFS, RefusalReason::OpenFileLimit),
    ] {
        assert_eq!(RefusalReason::of(&errno.into()), reason, "{errno}");
    }
}

#[tokio::test]
async fn a_target_that_is_a_listener_of_ours_is_not_dialled() {
    let (_listener, address) = listening();
    let dialling = dialer(std::slice::from_ref(&address), PLENTY);
    dialling.own.add(address.parse().unwrap());
    let (downstream, _peer) = accepted();
    let refusal = dial(&dialling, &downstream).await.unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::UpstreamUnreachable);
    assert!(refusal.to_string().contains("own listeners"), "{refusal}");
}
