//! The copy plane over loopback pairs, at the gateway's own level: sockets in, report out.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use tokio::task::JoinHandle;

use super::*;
use crate::dataplane::RelayTerms;
use crate::sys::sockopt::set_linger_zero;

/// The two peers of a connection that a plane relays, and its report.
struct Relayed {
    producer: TcpStream,
    consumer: TcpStream,
    report: JoinHandle<Transferred>,
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (peer, ours)
}

/// A dialled socket and the peer that accepted it.
fn dialled() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (peer, ours)
}

fn relay(plane: &CopyPlane, terms: RelayTerms) -> Relayed {
    let live = Arc::default();
    relay_showing(plane, RelayOrder { terms, live })
}

fn relay_showing(plane: &CopyPlane, order: RelayOrder) -> Relayed {
    let (producer, downstream) = connected();
    let (consumer, upstream) = dialled();
    let plane = plane.clone();
    let pair = StreamPair {
        downstream,
        upstream,
    };
    let report = tokio::spawn(async move { plane.relay(pair, order).await });
    Relayed {
        producer,
        consumer,
        report,
    }
}

/// How a connection ended, which it must.
async fn ended(report: JoinHandle<Transferred>) -> Transferred {
    let patience = Duration::from_secs(30);
    let ended = tokio::time::timeout(patience, report).await;
    ended.expect("the connection does not end").unwrap()
}

/// Runs blocking peers beside the relay.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn assert_balanced(transferred: &Transferred) {
    for report in [transferred.to_upstream, transferred.to_downstream] {
        assert!(report.balances(), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_arrive_equal_in_both_directions_at_once_and_the_ledger_balances() {
    let plane = CopyPlane::new();
    let Relayed {
        producer,
        consumer,
        report,
    } = relay(&plane, RelayTerms::default());
    const LENGTH: usize = 5_000_000;
    let exchange = |mut stream: TcpStream| {
        blocking(move || {
            let mut reader = stream.try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let mut got = Vec::new();
                reader.read_to_end(&mut got).unwrap();
                got
            });
            stream.write_all(&pattern(LENGTH)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            reading.join().unwrap()
        })
    };
    let (at_producer, at_consumer) = tokio::join!(exchange(producer), exchange(consumer));
    assert!(at_producer == pattern(LENGTH) && at_consumer == pattern(LENGTH));
    let transferred = ended(report).await;
    assert_eq!(transferred.end, EndReason::Finished);
    assert_eq!(transferred.to_upstream.received, LENGTH as u64);
    assert!(transferred.to_upstream.finished && transferred.to_downstream.finished);
    assert_balanced(&transferred);
    assert_eq!(plane.totals().copied, 2 * LENGTH as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_direction_leaves_the_other_open_either_way() {
    for producer_first in [true, false] {
        let Relayed {
            producer,
            consumer,
            report,
        } = relay(&CopyPlane::new(), RelayTerms::default());
        let (mut first, mut second) = if producer_first {
            (producer, consumer)
        } else {
            (consumer, producer)
        };
        blocking(move || {
            first.write_all(b"question").unwrap();
            first.shutdown(Shutdown::Write).unwrap();
            let mut question = String::new();
            second.read_to_string(&mut question).unwrap();
            second.write_all(b"answer").unwrap();
            drop(second);
            let mut answer = String::new();
            first.read_to_string(&mut answer).unwrap();
            assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
        })
        .await;
        let transferred = ended(report).await;
        assert_eq!(transferred.end, EndReason::Finished);
        assert_balanced(&transferred);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_arrives_as_a_reset_after_what_was_sent_before_it() {
    for (producer_resets, end) in [
        (true, EndReason::DownstreamReset),
        (false, EndReason::UpstreamReset),
    ] {
        let Relayed {
            producer,
            consumer,
            report,
        } = relay(&CopyPlane::new(), RelayTerms::default());
        let (mut dying, mut living) = if producer_resets {
            (producer, consumer)
        } else {
            (consumer, producer)
        };
        blocking(move || {
            // One segment: once its first byte is here, all of it has been sent.
            dying.write_all(&pattern(10_000)).unwrap();
            let mut got = vec![0; 1];
            living.read_exact(&mut got).unwrap();
            set_linger_zero(&dying).unwrap();
            drop(dying);
            let error = loop {
                let mut more = [0; 4096];
                match living.read(&mut more) {
                    Ok(0) => panic!("a reset became a clean end after {} bytes", got.len()),
                    Ok(length) => got.extend_from_slice(&more[..length]),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert!(got == pattern(10_000));
        })
        .await;
        let transferred = ended(report).await;
        assert_eq!(transferred.end, end);
        assert_balanced(&transferred);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_side_left_behind_is_delivered_to_a_slow_reader() {
    let Relayed {
        mut producer,
        mut consumer,
        report,
    } = relay(&CopyPlane::new(), RelayTerms::default());
    let got = blocking(move || {
        producer.set_nonblocking(true).unwrap();
        fill(&mut producer);
        set_linger_zero(&producer).unwrap();
        drop(producer);
        let mut got = Vec::new();
        let error = consumer.read_to_end(&mut got).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        got
    })
    .await;
    let transferred = ended(report).await;
    assert_eq!(transferred.end, EndReason::DownstreamReset);
    let to_upstream = transferred.to_upstream;
    assert_eq!(to_upstream.copied, to_upstream.received);
    assert_eq!(to_upstream.copied, got.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_noticed_while_the_other_side_takes_nothing() {
    let Relayed {
        producer,
        consumer,
        report,
    } = relay(&CopyPlane::new(), RelayTerms::default());
    let consumer = blocking(move || {
        let mut producer = producer;
        producer.set_nonblocking(true).unwrap();
        fill(&mut producer);
        set_linger_zero(&producer).unwrap();
        drop(producer);
        consumer
    })
    .await;
    let transferred = ended(report).await;
    assert_eq!(transferred.end, EndReason::DownstreamReset);
    assert!(!transferred.to_upstream.finished);
    assert_balanced(&transferred);
    blocking(move || {
        let mut consumer = consumer;
        let error = io::copy(&mut consumer, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    })
    .await;
}

/// Writes until nothing has been taken for a while: every buffer on the way is full.
fn fill(stream: &mut TcpStream) {
    let block = pattern(65_536);
    let mut refused = 0;
    while refused < 50 {
        match stream.write(&block) {
            Ok(_) => refused = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_reset_after_its_time_and_a_busy_one_is_not() {
    let terms = RelayTerms {
        idle_timeout: Some(Duration::from_millis(300)),
        ..RelayTerms::default()
    };
    let Relayed {
        mut producer,
        mut consumer,
        report,
    } = relay(&CopyPlane::new(), terms);
    let busy_until = Instant::now() + Duration::from_millis(900);
    blocking(move || {
        let mut byte = [0; 1];
        while Instant::now() < busy_until {
            producer.write_all(b"x").unwrap();
            consumer.read_exact(&mut byte).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        for mut stream in [producer, consumer] {
            let error = stream.read(&mut byte).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    })
    .await;
    assert_eq!(ended(report).await.end, EndReason::IdleTimeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn aborting_resets_both_sides_now_and_later() {
    let plane = CopyPlane::new();
    let orders = [RelayOrder::default(), RelayOrder::default()];
    let before = relay_showing(&plane, orders[0].clone());
    for order in &orders {
        order.live.abort();
    }
    let after = relay_showing(&plane, orders[1].clone());
    for relayed in [before, after] {
        let Relayed {
            producer,
            consumer,
            report,
        } = relayed;
        assert_eq!(ended(report).await.end, EndReason::DrainTimeout);
        blocking(move || {
            for mut stream in [producer, consumer] {
                let error = stream.read(&mut [0; 1]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_buffer_is_held_while_nothing_is_under_way() {
    let plane = CopyPlane::new();
    let Relayed {
        mut producer,
        mut consumer,
        report,
    } = relay(&plane, RelayTerms::default());
    let ends = blocking(move || {
        producer.write_all(b"x").unwrap();
        consumer.read_exact(&mut [0; 1]).unwrap();
        consumer.write_all(b"y").unwrap();
        producer.read_exact(&mut [0; 1]).unwrap();
        (producer, consumer)
    })
    .await;
    let given_back = tokio::time::timeout(Duration::from_secs(20), async {
        while plane.shared.buffers.idle() != plane.shared.buffers.made() {
            tokio::task::yield_now().await;
        }
    });
    given_back
        .await
        .expect("a quiet connection holds no buffer");
    drop(ends);
    assert_eq!(ended(report).await.end, EndReason::Finished);
}
