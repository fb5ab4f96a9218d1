//! Caps are held by the kernel's pacing of the egress sockets: what is asserted is what the kernel
//! says it does, and not how long that takes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use scistream_daemon::session::{CreateSession, Rate, SessionView};
use scistream_daemon::sessions::Sessions;

use crate::rig::*;

const CAP: u64 = 8_000_000;

async fn capped(sessions: &Sessions) -> SessionView {
    let request = CreateSession {
        max_rate: Some(Rate::from_bytes(CAP)),
        ..forwarding(&[named(b'x')])
    };
    sessions.create(&alice(), request).await.unwrap().session
}

/// The paces that the kernel holds the connections' flows to upstream to, bytes per second.
fn paces(sessions: &Sessions, session: &SessionView) -> Vec<Option<u64>> {
    let details = sessions.show(&alice(), &session.id).unwrap();
    let paces = details.connections.iter().map(|connection| {
        let both = [&connection.to_upstream, &connection.to_downstream];
        let [up, down] = both.map(|flow| flow.pace.map(Rate::to_bytes));
        assert_eq!(up.is_some(), down.is_some(), "{connection:?}");
        up
    });
    paces.collect()
}

fn sum(paces: &[Option<u64>]) -> u64 {
    paces.iter().flatten().sum()
}

/// Waits until `number` connections have the whole cap and no more: while it is dealt anew, one has
/// its new pace before the next.
async fn all_of_it_is_shared(sessions: &Sessions, session: &SessionView, number: usize) {
    until(&format!("{number} connections share the cap"), || {
        let paces = paces(sessions, session);
        paces.len() == number && (CAP - 100..=CAP).contains(&sum(&paces))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_is_shared_by_the_connections_as_they_come_and_go() {
    for plane in planes() {
        let sessions = start_on(plane, config());
        let session = capped(&sessions).await;
        let mut streams = Vec::new();
        for number in 1..=8 {
            streams.push(greeted_by(session.listeners[0]).await.0);
            let paces = paces(&sessions, &session);
            assert_eq!(paces.len(), number);
            assert!(paces.iter().all(Option::is_some), "{paces:?}");
            all_of_it_is_shared(&sessions, &session, number).await;
        }
        streams.truncate(1);
        all_of_it_is_shared(&sessions, &session, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_is_shown_paced_both_ways_or_not_at_all() {
    let sessions = start(config());
    let session = capped(&sessions).await;
    for _ in 0..300 {
        let (stream, _) = greeted_by(session.listeners[0]).await;
        drop(stream);
        let deadline = Instant::now() + PATIENCE;
        while !paces(&sessions, &session).is_empty() {
            assert!(Instant::now() < deadline, "it does not close");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_cap_is_not_paced() {
    let sessions = start(config());
    let request = CreateSession {
        rate: Some(Rate::from_kilobytes(10_000)),
        ..forwarding(&[named(b'x')])
    };
    let session = sessions.create(&alice(), request).await.unwrap().session;
    assert!(!session.reserved.is_zero());
    let _stream = greeted_by(session.listeners[0]).await;
    assert_eq!(paces(&sessions, &session), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_connection_has_what_quiet_ones_leave() {
    let sessions = start(config());
    let session = capped(&sessions).await;
    let (busy, _) = greeted_by(session.listeners[0]).await;
    let _quiet = greeted_by(session.listeners[0]).await;
    let stop = busy.try_clone().unwrap();
    let pumping = std::thread::spawn(move || pump(busy));
    until(
        "the busy one has nearly all, and both no more than all",
        || {
            let paces = paces(&sessions, &session);
            paces[0].is_some_and(|pace| pace > CAP / 10 * 9) && sum(&paces) <= CAP
        },
    )
    .await;
    stop.shutdown(std::net::Shutdown::Both).unwrap();
    pumping.join().unwrap();
}

/// Sends without end, and takes what comes back.
fn pump(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut block = [0; 65_536];
        while reader.read(&mut block).is_ok_and(|length| length > 0) {}
    });
    while stream.write_all(&[0; 16_384]).is_ok() {}
    reading.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn best_effort_gives_way_to_a_reservation_when_there_is_not_enough_for_both() {
    let capacity = Rate::from_bytes(20_000_000);
    let mut config = config();
    config.registry.capacity = Some(capacity);
    let sessions = start(config);
    let reserved = Rate::from_bytes(15_000_000);
    let request = CreateSession {
        reserved: Some(reserved),
        ..forwarding(&[named(b'r')])
    };
    let provisioned = sessions.create(&alice(), request).await.unwrap().session;
    let best_effort = sessions
        .create(&alice(), forwarding(&[named(b'b')]))
        .await
        .unwrap()
        .session;
    let mut stops = Vec::new();
    let mut pumping = Vec::new();
    for session in [&provisioned, &best_effort] {
        let (stream, _) = greeted_by(session.listeners[0]).await;
        assert_eq!(paces(&sessions, session).len(), 1);
        stops.push(stream.try_clone().unwrap());
        pumping.push(std::thread::spawn(move || pump(stream)));
    }
    until("both are paced, and the reservation holds", || {
        let held = |session| paces(&sessions, session)[0];
        let (provisioned, best_effort) = (held(&provisioned), held(&best_effort));
        provisioned.is_some_and(|pace| pace >= reserved.to_bytes())
            && best_effort.is_some_and(|pace| pace <= 6_000_000)
    })
    .await;
    stops
        .pop()
        .unwrap()
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    pumping.pop().unwrap().join().unwrap();
    stops
        .pop()
        .unwrap()
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    pumping.pop().unwrap().join().unwrap();
}
