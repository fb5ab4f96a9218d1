//! How sessions end, and what of them is left: nothing.

use std::io::Read;
use std::time::Duration;

use scistream_daemon::session::error::Unavailable;
use scistream_daemon::session::{CreateSession, Phase, Role, SessionError};
use scistream_daemon::sessions::SessionsConfig;

use crate::rig::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_release_resets_the_connections_of_its_session_and_of_no_other() {
    for plane in planes() {
        let sessions = start_on(plane, config());
        let mut listeners = Vec::new();
        for uid in ["ends", "stays"] {
            let request = CreateSession {
                id: Some(id(uid)),
                ..forwarding(&[named(b'x')])
            };
            listeners.push(
                sessions
                    .create(&alice(), request)
                    .await
                    .unwrap()
                    .session
                    .listeners[0],
            );
        }
        let (ends, _) = greeted_by(listeners[0]).await;
        let (mut stays, _) = greeted_by(listeners[1]).await;
        sessions.release(&alice(), &id("ends"), None).await.unwrap();
        assert!(refuses(listeners[0]));
        blocking(move || must_be_reset(ends)).await;
        blocking(move || round_trip(&mut stays, b"still here")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_the_listeners_and_lets_connections_end_by_themselves() {
    for plane in planes() {
        let sessions = start_on(plane, config());
        let request = CreateSession {
            id: Some(id("d")),
            ..forwarding(&[named(b'x')])
        };
        let listen = sessions
            .create(&alice(), request)
            .await
            .unwrap()
            .session
            .listeners[0];
        let (mut stream, _) = greeted_by(listen).await;
        let drained = sessions
            .release(&alice(), &id("d"), Some(PATIENCE))
            .await
            .unwrap();
        assert_eq!(drained.phase, Phase::Draining);
        assert!(refuses(listen));
        let error = sessions
            .hello(&alice(), &id("d"), hello(&[]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, SessionError::Unavailable(Unavailable::Draining(_))),
            "{error}"
        );
        blocking(move || {
            round_trip(&mut stream, b"still here");
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        })
        .await;
        until("the session is gone", || sessions.list(&alice()).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_over_resets_what_is_left() {
    let sessions = start(config());
    let request = CreateSession {
        id: Some(id("d")),
        ..forwarding(&[named(b'x')])
    };
    let listen = sessions
        .create(&alice(), request)
        .await
        .unwrap()
        .session
        .listeners[0];
    let (stream, _) = greeted_by(listen).await;
    sessions
        .release(&alice(), &id("d"), Some(Duration::from_millis(20)))
        .await
        .unwrap();
    blocking(move || must_be_reset(stream)).await;
    until("the session is gone", || sessions.list(&alice()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_still_dialling_ends_with_its_session() {
    let sessions = start(SessionsConfig {
        connect_timeout: PATIENCE,
        ..config()
    });
    // Its backlog is full: it answers no more.
    let (silent, address) = target();
    rustix::net::listen(&silent, 0).unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
    {
        fillers.push(filler);
    }
    let request = CreateSession {
        id: Some(id("d")),
        ..forwarding(&[address])
    };
    let listen = sessions
        .create(&alice(), request)
        .await
        .unwrap()
        .session
        .listeners[0];
    let stream = blocking(move || connect(listen)).await;
    until("it is accepted", || {
        sessions.list(&alice())[0].connections_open == 1
    })
    .await;
    sessions.release(&alice(), &id("d"), None).await.unwrap();
    blocking(move || must_be_reset(stream)).await;
    drop((silent, fillers));
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_and_idle_times_end_sessions() {
    let sessions = start(config());
    let soon = Some(Duration::from_millis(50));
    for request in [
        CreateSession {
            lifetime: soon,
            ..CreateSession::plain(Role::Consumer)
        },
        CreateSession {
            idle_timeout: soon,
            ..CreateSession::plain(Role::Consumer)
        },
    ] {
        let created = sessions.create(&alice(), request).await.unwrap();
        until("the session is gone", || sessions.list(&alice()).is_empty()).await;
        assert!(refuses(created.session.listeners[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_ends_its_sessions_and_takes_no_more() {
    let sessions = start(config());
    let created = sessions
        .create(&alice(), forwarding(&[named(b'x')]))
        .await
        .unwrap();
    let (stream, _) = greeted_by(created.session.listeners[0]).await;
    assert_eq!(sessions.drain(None), 1);
    let closed = tokio::time::timeout(PATIENCE, sessions.all_closed()).await;
    closed.expect("all sessions close");
    blocking(move || must_be_reset(stream)).await;
    let late = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await;
    let stopping = SessionError::Unavailable(Unavailable::Stopping);
    assert_eq!(late.unwrap_err(), stopping);
}
