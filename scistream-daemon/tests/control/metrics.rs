//! The metrics port, scraped over TCP by a reader that holds it to the text format.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use tonic::Code;

use crate::rig::{PATIENCE, Rig, UID, by, echo, release, round_trip, session, update};

/// All samples, by name and labels as they are written.
type Samples = BTreeMap<String, f64>;

fn connect(metrics: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(metrics).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request, and answers with its head and body.
fn ask(metrics: SocketAddr, request: &str) -> (String, String) {
    let mut stream = connect(metrics);
    let head = format!("{request} HTTP/1.1\r\nHost: gateway\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

async fn scrape(rig: &Rig) -> (String, Samples) {
    let metrics = rig.metrics.unwrap();
    let asked = tokio::task::spawn_blocking(move || ask(metrics, "GET /metrics"));
    let (head, body) = asked.await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    let samples = parse(&body);
    (body, samples)
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the text format strictly: each family once, with its help, its type, then its samples.
fn parse(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let mut family = "";
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'), "the last line is one");
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && words.ends_with('.'), "{line}");
            assert!(families.insert(name), "{name} comes once");
            let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (typed, kind) = kind.split_once(' ').unwrap();
            assert_eq!(typed, name);
            let counts = name.ends_with("_total");
            assert_eq!(kind, if counts { "counter" } else { "gauge" }, "{name}");
            family = name;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert_eq!(name, family, "{line}");
        for label in labels.strip_suffix('}').unwrap().split(',') {
            let Some((label, value)) = label.split_once('=') else {
                assert_eq!(label, "");
                continue;
            };
            assert!(is_name(label), "{line}");
            assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
        }
        let twice = samples.insert(series.to_owned(), value.parse().unwrap());
        assert!(twice.is_none(), "{series} comes once");
    }
    samples
}

async fn rig() -> Rig {
    Rig::with(|settings, _| {
        settings.metrics.listen = Some(([127, 0, 0, 1], 0).into());
        settings.sessions.capacity = Some("1G".parse().unwrap());
    })
    .await
}

/// The samples have these values.
fn must_be(samples: &Samples, expected: &[(&str, f64)]) {
    for (series, value) in expected {
        assert_eq!(
            samples.get(*series),
            Some(value),
            "{series} in {samples:#?}"
        );
    }
}

/// Scrapes until the samples have these values: a count is stored after its bytes were moved.
async fn scrape_until(rig: &Rig, expected: &[(&str, f64)]) -> (String, Samples) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (body, samples) = scrape(rig).await;
        let is = |(series, value): &(&str, f64)| samples.get(*series) == Some(value);
        if expected.iter().all(is) {
            return (body, samples);
        }
        if Instant::now() >= deadline {
            must_be(&samples, expected);
        }
    }
}

/// A session of alice's that forwards to an echo, and one of its listeners.
async fn forwarding(rig: &Rig) -> String {
    let mut old = rig.old().await;
    session(&old, "alice", UID, 2).await;
    let targets = [echo().to_string()];
    let updated = old.update(by("alice", update(UID, "PROD", &targets))).await;
    updated.unwrap().into_inner().listeners.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_of_sessions_connections_bytes_and_what_is_left() {
    let rig = rig().await;
    let (_, idle) = scrape(&rig).await;
    must_be(
        &idle,
        &[
            ("scistream_build_info{version=\"0.1.0\"}", 1.0),
            ("scistream_sessions{state=\"forwarding\"}", 0.0),
            ("scistream_reservable_bytes_per_second", 125e6),
        ],
    );
    let listener = forwarding(&rig).await;
    let stream = tokio::task::spawn_blocking(move || round_trip(&listener));
    let stream = stream.await.unwrap();

    let up = "scistream_moved_bytes_total{direction=\"to_upstream\",plane=\"copy\"}";
    let down = "scistream_moved_bytes_total{direction=\"to_downstream\",plane=\"copy\"}";
    let spliced = "scistream_moved_bytes_total{direction=\"to_upstream\",plane=\"splice\"}";
    let (text, busy) = scrape_until(&rig, &[(up, 14.0), (down, 14.0)]).await;
    must_be(
        &busy,
        &[
            ("scistream_sessions{state=\"forwarding\"}", 1.0),
            ("scistream_open_connections", 1.0),
            ("scistream_open_connections_limit", 1_000.0),
            ("scistream_connections_total", 1.0),
            (spliced, 0.0),
            ("scistream_ledger_mismatches_total", 0.0),
            ("scistream_ports{state=\"used\"}", 2.0),
            ("scistream_reserved_bytes_per_second", 1e7),
            ("scistream_reservable_bytes_per_second", 115e6),
        ],
    );
    for secret in [UID, "alice", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} is nobody's business");
    }

    // What is closed still counts.
    drop(stream);
    let release = by("alice", release(UID));
    rig.old().await.release(release).await.unwrap();
    let (_, after) = scrape(&rig).await;
    must_be(
        &after,
        &[
            ("scistream_sessions{state=\"forwarding\"}", 0.0),
            ("scistream_open_connections", 0.0),
            (up, 14.0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_tells_how_calls_ended_and_why_callers_were_turned_away() {
    let rig = rig().await;
    forwarding(&rig).await;
    let mut old = rig.old().await;
    let denied = old.release(by("bob", release(UID))).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    for token in ["wrong", "INVALID_TOKEN"] {
        old.release(by(token, release(UID))).await.unwrap_err();
    }
    let nameless = tonic::Request::new(release(UID));
    old.release(nameless).await.unwrap_err();

    let (_, samples) = scrape(&rig).await;
    let series = |method: &str, code: &str| {
        format!(
            "scistream_control_calls_total{{method=\"scistream.Control/{method}\",code=\"{code}\"}}"
        )
    };
    must_be(
        &samples,
        &[
            (&series("req", "OK"), 1.0),
            (&series("update", "OK"), 1.0),
            (&series("release", "OK"), 0.0),
            (&series("release", "PERMISSION_DENIED"), 1.0),
            (&series("release", "UNAUTHENTICATED"), 3.0),
            ("scistream_auth_failures_total{reason=\"invalid\"}", 2.0),
            ("scistream_auth_failures_total{reason=\"missing\"}", 1.0),
            ("scistream_auth_failures_total{reason=\"unavailable\"}", 0.0),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_callers_make_up_make_no_series() {
    let rig = rig().await;
    let channel = rig.channel().await;
    for number in 0..5 {
        let path = format!("/scistream.Control/made-up-{number}");
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let codec =
            tonic_prost::ProstCodec::<_, scistream_daemon::wire::scistream::Response>::default();
        let path = path.parse::<http::uri::PathAndQuery>().unwrap();
        let refused = grpc
            .unary(tonic::Request::new(release(UID)), path, codec)
            .await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let (text, samples) = scrape(&rig).await;
    let other = "scistream_control_calls_total{method=\"other\",code=\"UNAUTHENTICATED\"}";
    assert_eq!(samples[other], 5.0);
    assert!(!text.contains("made-up"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_readers_keep_nobody_out_and_are_closed() {
    let rig = rig().await;
    let metrics = rig.metrics.unwrap();
    let mut silent: Vec<TcpStream> = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(metrics);
        // Half a request.
        stream.write_all(b"GET /metr").unwrap();
        silent.push(stream);
    }
    let (_, samples) = scrape(&rig).await;
    assert_eq!(samples["scistream_open_connections"], 0.0);
    session(&rig.old().await, "alice", UID, 1).await;
    let closed = tokio::task::spawn_blocking(move || {
        silent.into_iter().all(|mut stream| {
            let mut rest = Vec::new();
            // By a reset or an end, and both before patience does.
            match stream.read_to_end(&mut rest) {
                Ok(_) => true,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        })
    });
    assert!(closed.await.unwrap(), "everyone who says nothing is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_metrics_is_there() {
    let rig = rig().await;
    let metrics = rig.metrics.unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        ["GET /", "POST /metrics", "GET /metrics/../x", "nonsense"]
            .map(|request| ask(metrics, request).0)
    });
    let heads = asked.await.unwrap();
    for (head, status) in heads.iter().zip(["404", "405", "404", "400"]) {
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    scrape(&rig).await;
}
