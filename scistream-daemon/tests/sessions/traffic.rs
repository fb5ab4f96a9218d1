//! Where connections go, who may make them, and what is told of them while they run.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use scistream_daemon::dataplane::Plane;
use scistream_daemon::session::{CreateSession, Role, SessionError, Target};

use crate::rig::*;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_before_the_targets_wait_and_are_forwarded_then() {
    let sessions = start(config());
    let created = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await
        .unwrap();
    let listen = created.session.listeners[0];
    let early = blocking(move || {
        let mut early = connect(listen);
        early.write_all(b"early").unwrap();
        early
    })
    .await;
    assert_eq!(sessions.list(&alice())[0].connections_open, 0);
    let targets = vec![Target::from(named(b'x'))];
    sessions
        .update(&alice(), &created.session.id, targets)
        .await
        .unwrap();
    blocking(move || {
        let mut early = early;
        let mut got = [0; 6];
        early.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"xearly");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_sends_new_connections_elsewhere_and_leaves_open_ones_alone() {
    for plane in planes() {
        let sessions = start_on(plane, config());
        let created = sessions
            .create(&alice(), forwarding(&[named(b'1')]))
            .await
            .unwrap();
        let session = created.session;
        let (mut first, name) = greeted_by(session.listeners[0]).await;
        assert_eq!(name, b'1');
        let targets = vec![Target::from(named(b'2'))];
        sessions
            .update(&alice(), &session.id, targets)
            .await
            .unwrap();
        for _ in 0..3 {
            assert_eq!(greeted_by(session.listeners[0]).await.1, b'2');
        }
        blocking(move || round_trip(&mut first, b"as before")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_may_not_connect_are_reset_and_reach_no_target() {
    let sessions = start(config());
    let (listener, address) = target();
    listener.set_nonblocking(true).unwrap();
    let request = |source: &str| CreateSession {
        sources: vec![source.parse().unwrap()],
        ..forwarding(&[address])
    };
    let others = sessions
        .create(&alice(), request("192.0.2.0/24"))
        .await
        .unwrap();
    let listen = others.session.listeners[0];
    blocking(move || must_be_reset(connect(listen))).await;
    assert!(listener.accept().is_err());
    let ours = sessions
        .create(&alice(), request("127.0.0.0/8"))
        .await
        .unwrap();
    let listen = ours.session.listeners[0];
    let _stream = blocking(move || connect(listen)).await;
    until("it reaches the target", || listener.accept().is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_no_more_connections_than_it_may_and_the_rest_wait() {
    let sessions = start(config());
    let request = CreateSession {
        max_connections: Some(1),
        ..forwarding(&[named(b'x')])
    };
    let session = sessions.create(&alice(), request).await.unwrap().session;
    let (first, _) = greeted_by(session.listeners[0]).await;
    let listen = session.listeners[0];
    let mut second = blocking(move || connect(listen)).await;
    second
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(second.read(&mut [0; 1]).is_err(), "it waits");
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(blocking(move || read_byte(&mut second)).await, b'x');
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_connection_shows_its_bytes_its_plane_and_its_sockets() {
    let expected = [Plane::Copy, Plane::Splice];
    for (plane, expected) in planes().into_iter().zip(expected) {
        let sessions = start_on(plane, config());
        let session = sessions
            .create(&alice(), forwarding(&[named(b'x')]))
            .await
            .unwrap()
            .session;
        let (stream, _) = greeted_by(session.listeners[0]).await;
        let peer = stream.local_addr().unwrap();
        let stream: TcpStream = blocking(move || {
            let mut stream = stream;
            round_trip(&mut stream, &[1; 50_000]);
            stream
        })
        .await;
        // A count is stored after its bytes were moved.
        until("all bytes are counted", || {
            let traffic = &sessions.list(&alice())[0];
            (traffic.to_upstream.bytes, traffic.to_downstream.bytes) == (50_000, 50_001)
        })
        .await;
        let details = sessions.show(&alice(), &session.id).unwrap();
        let [connection] = details.connections.as_slice() else {
            panic!("one connection: {details:?}");
        };
        assert_eq!(
            (connection.downstream, connection.listen),
            (peer, session.listeners[0])
        );
        assert_eq!(connection.to_upstream.flow.bytes, 50_000);
        assert_eq!(connection.to_downstream.flow.bytes, 50_001);
        assert_eq!(connection.to_upstream.plane, expected);
        assert!(connection.downstream_socket.unwrap().rtt.is_some());
        assert!(connection.upstream_socket.unwrap().rtt.is_some());
        assert_eq!(details.session.to_upstream.bytes, 50_000);
        until("rates are shown", || {
            let details = sessions.show(&alice(), &session.id).unwrap();
            !details.session.to_upstream.rate.is_zero()
        })
        .await;
        drop(stream);
        until("it has ended", || {
            sessions.list(&alice())[0].connections_open == 0
        })
        .await;
        let traffic = &sessions.list(&alice())[0];
        assert_eq!(
            (traffic.connections_total, traffic.to_downstream.bytes),
            (1, 50_001)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_moves_bytes_is_not_idle() {
    let sessions = start(config());
    let request = CreateSession {
        idle_timeout: Some(Duration::from_millis(1500)),
        ..forwarding(&[named(b'x')])
    };
    let session = sessions.create(&alice(), request).await.unwrap().session;
    let (mut stream, _) = greeted_by(session.listeners[0]).await;
    blocking(move || {
        for _ in 0..30 {
            round_trip(&mut stream, b"tick");
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await;
    // Its 3 s are over, and twice its idle time.
    assert_eq!(sessions.list(&alice()).len(), 1);
    until("it is idle", || {
        let shown = sessions.show(&alice(), &session.id);
        matches!(shown, Err(SessionError::Unknown { .. }))
    })
    .await;
}
