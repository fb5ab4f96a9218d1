//! What callers are answered, and that it is true.

use std::time::Duration;

use scistream_daemon::session::error::Unavailable;
use scistream_daemon::session::{
    CreateSession, Greeting, Phase, Role, SessionError, SessionId, Target,
};
use scistream_daemon::sessions::{Sessions, SessionsConfig, Watched};

use crate::rig::*;

/// `req` under way, in a task of its own.
async fn requested(
    sessions: &Sessions,
    uid: &str,
    listeners: u32,
) -> tokio::task::JoinHandle<Result<scistream_daemon::sessions::CreatedSession, SessionError>> {
    let (own, request) = (sessions.clone(), req(uid, listeners));
    let task = tokio::spawn(async move { own.create(&alice(), request).await });
    let uid = id(uid);
    until("the session waits", || {
        sessions.show(&alice(), &uid).is_ok()
    })
    .await;
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_flow_of_an_old_script_moves_bytes_through_each_listener_to_its_own_target() {
    for plane in planes() {
        let sessions = start_on(plane, config());
        let targets = [named(b'a'), named(b'b')];
        let waiting = requested(&sessions, "flow", 3).await;
        let greeted = sessions
            .hello(&alice(), &id("flow"), hello(&targets))
            .await
            .unwrap();
        let created = waiting.await.unwrap().unwrap();
        assert_eq!(created.session.listeners, greeted.listeners);
        assert_eq!(created.session.announced, targets.map(Target::from));
        let announced = created.session.announced;
        let updated = sessions
            .update(&alice(), &id("flow"), announced)
            .await
            .unwrap();
        assert_eq!(updated.phase, Phase::Forwarding);
        assert_eq!(updated.targets.len(), 3);
        for (listen, name) in updated.listeners.iter().zip(*b"aba") {
            let (mut stream, greeting) = greeted_by(*listen).await;
            assert_eq!(greeting, name);
            blocking(move || round_trip(&mut stream, &[7; 100_000])).await;
        }
        sessions.release(&alice(), &id("flow"), None).await.unwrap();
        assert!(updated.listeners.iter().all(|listen| refuses(*listen)));
        assert!(sessions.list(&alice()).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_sessions_at_once_each_have_their_own_ports_and_bytes() {
    let sessions = start(config());
    let targets = [named(0), named(1)];
    let mut creates = tokio::task::JoinSet::new();
    for number in 0..100 {
        let sessions = sessions.clone();
        creates.spawn(async move {
            let uid = format!("s{number}");
            let (hello_to, own) = (id(&uid), alice());
            let (created, greeted) = tokio::join!(
                sessions.create(&own, req(&uid, 2)),
                sessions.hello(&own, &hello_to, hello(&[])),
            );
            greeted.unwrap();
            let listeners = created.unwrap().session.listeners;
            let target = Target::from(targets[number % 2]);
            sessions
                .update(&own, &hello_to, vec![target])
                .await
                .unwrap();
            for listen in &listeners {
                let (mut stream, greeting) = greeted_by(*listen).await;
                assert_eq!(usize::from(greeting), number % 2);
                blocking(move || round_trip(&mut stream, &[greeting; 10_000])).await;
            }
            listeners
        });
    }
    let mut ports: Vec<_> = creates.join_all().await.concat();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_requests_wait_and_their_hellos_are_answered() {
    let sessions = start(config());
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..2_000 {
        let sessions = sessions.clone();
        let uid = format!("s{number}");
        waiting.spawn(async move { sessions.create(&alice(), req(&uid, 1)).await });
    }
    until("all wait", || sessions.list(&alice()).len() == 2_000).await;
    for number in 0..2_000 {
        let uid = id(&format!("s{number}"));
        sessions.hello(&alice(), &uid, hello(&[])).await.unwrap();
    }
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_its_waiting_session_along() {
    let sessions = start(config());
    let waiting = requested(&sessions, "gone", 2).await;
    let listeners = sessions
        .show(&alice(), &id("gone"))
        .unwrap()
        .session
        .session
        .listeners;
    assert!(!refuses(listeners[0]), "ready means bound");
    waiting.abort();
    until("the session is gone", || sessions.list(&alice()).is_empty()).await;
    assert!(listeners.iter().all(|listen| refuses(*listen)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_does_not_come_ends_the_wait() {
    let sessions = start(config());
    let request = CreateSession {
        greeting: Greeting::Awaited(Some(Duration::from_millis(50))),
        ..req("late", 1)
    };
    let error = sessions.create(&alice(), request).await.unwrap_err();
    assert!(
        matches!(error, SessionError::HelloTimeout { .. }),
        "{error}"
    );
    until("the session is gone", || sessions.list(&alice()).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_ours_has_a_uid_that_nobody_can_guess() {
    let sessions = start(config());
    let mut ids: Vec<SessionId> = Vec::new();
    for _ in 0..2 {
        let created = sessions
            .create(&alice(), CreateSession::plain(Role::Consumer))
            .await;
        let session = created.unwrap().session;
        assert_eq!(
            (session.phase, session.id.as_str().len()),
            (Phase::Ready, 36)
        );
        ids.push(session.id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_others_have_are_skipped_and_a_shortage_leaves_nothing_open() {
    let (holder, held) = target();
    let port = held.port();
    let mut config = config();
    config.registry.ports = port..=port;
    let sessions = start(config);
    let error = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::Exhausted {
                wanted: 1,
                left: 0,
                ..
            }
        ),
        "{error}"
    );
    until("nothing is left of it", || {
        sessions.list(&alice()).is_empty()
    })
    .await;
    drop(holder);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_on_every_address_with_the_same_port() {
    let addresses = ["127.0.0.1", "127.0.0.2", "::1"].map(|ip| ip.parse().unwrap());
    let sessions = start(SessionsConfig {
        listen: addresses.to_vec(),
        ..config()
    });
    let created = sessions
        .create(&alice(), forwarding(&[named(b'x')]))
        .await
        .unwrap();
    let port = created.session.listeners[0].port();
    for ip in addresses {
        let (_stream, name) = greeted_by((ip, port).into()).await;
        assert_eq!(name, b'x');
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_a_listener_of_ours_is_refused() {
    let (control, control_address) = target();
    let sessions = start(SessionsConfig {
        also_listening: vec![control_address],
        ..config()
    });
    let created = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await
        .unwrap();
    let own = created.session.listeners[0];
    for loops in [own, control_address] {
        let target = vec![Target::from(loops)];
        let error = sessions
            .update(&alice(), &created.session.id, target)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                SessionError::BadField {
                    field: "targets",
                    ..
                }
            ),
            "{error}"
        );
        let error = sessions
            .create(&alice(), forwarding(&[loops]))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                SessionError::BadField {
                    field: "targets",
                    ..
                }
            ),
            "{error}"
        );
    }
    drop(control);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_a_target_and_one_without_address_is_unavailable() {
    let sessions = start(config());
    let named_target = format!("localhost:{}", named(b'n').port());
    let created = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await
        .unwrap();
    let session = created.session;
    let targets = vec![named_target.parse().unwrap()];
    sessions
        .update(&alice(), &session.id, targets)
        .await
        .unwrap();
    assert_eq!(greeted_by(session.listeners[0]).await.1, b'n');
    let nowhere = vec!["no-such-host.invalid:80".parse().unwrap()];
    let error = sessions
        .update(&alice(), &session.id, nowhere)
        .await
        .unwrap_err();
    assert!(
        matches!(error, SessionError::Unavailable(Unavailable::Target { .. })),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_owner_sees_a_session_or_what_happens_to_it() {
    let sessions = start(config());
    let mut owner = sessions.watch(&alice(), None).unwrap();
    let mut stranger = sessions.watch(&mallory(), None).unwrap();
    let created = sessions
        .create(&alice(), CreateSession::plain(Role::Consumer))
        .await
        .unwrap();
    let uid = created.session.id;
    assert!(sessions.list(&mallory()).is_empty());
    let not_owner = SessionError::NotOwner { id: uid.clone() };
    assert_eq!(sessions.show(&mallory(), &uid).unwrap_err(), not_owner);
    let released = sessions.release(&mallory(), &uid, None).await;
    assert_eq!(released.unwrap_err(), not_owner);
    sessions.release(&alice(), &uid, None).await.unwrap();
    let again = sessions.release(&alice(), &uid, None).await;
    assert_eq!(again.unwrap_err(), SessionError::Unknown { id: uid });
    let mut codes = Vec::new();
    while codes.last() != Some(&"closed") {
        let Some(Watched::Event(event)) = owner.next().await else {
            panic!("the stream ended after {codes:?}");
        };
        codes.push(event.change.code.as_str());
    }
    assert_eq!(codes, ["created", "bound", "released", "closed"]);
    drop(sessions);
    assert!(stranger.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_too_slowly_is_told_how_much_it_lost() {
    let sessions = start(config());
    let mut watcher = sessions.watch(&alice(), None).unwrap();
    for _ in 0..300 {
        let created = sessions
            .create(&alice(), CreateSession::plain(Role::Consumer))
            .await
            .unwrap();
        sessions
            .release(&alice(), &created.session.id, None)
            .await
            .unwrap();
    }
    let first = watcher.next().await;
    assert!(
        matches!(first, Some(Watched::Lagged(lost)) if lost >= 100),
        "{first:?}"
    );
}
