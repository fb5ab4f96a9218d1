//! The metrics port: what the gateway is and does, in numbers, for Prometheus and whoever reads its
//! text format.
//!
//! ```text
//!   GET /metrics ──► gather (sessions, connections, calls) ──► text ──► closed
//!     │ more than a few at once: the oldest goes
//!     └ not done in seconds: closed
//! ```
//!
//! Nobody is asked who they are here, so nothing is said that names a session, a caller or a token,
//! and no label is what a caller sent. A reader holds one of a few places for some seconds, and
//! nothing else.

mod calls;
mod exposition;
mod gather;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use calls::{AuthFailure, CallCounts};
pub use gather::Sources;

/// Scrapes at once; for a further one the oldest goes.
const SCRAPES_MAX: usize = 8;

/// How long a scrape may take, the reading of the answer included.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long its request may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The least that hyper reads a request with, bytes.
const REQUEST_BUFFER: usize = 8 << 10;

/// How long to leave the kernel alone when it has no descriptors left.
const SHORTAGE_TIME: Duration = Duration::from_millis(50);

/// What the answer is written in.
const TEXT_FORMAT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Why there is no metrics port.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The port cannot be had.
    #[error("cannot bind the metrics port {address}: {cause}; choose another with metrics.listen")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// A metrics port that is bound, and not served yet.
#[derive(Debug)]
pub struct MetricsPort {
    listener: TcpListener,
    address: SocketAddr,
}

/// A metrics port that answers until this is dropped.
#[derive(Debug)]
pub struct Answering {
    _accepting: JoinSet<()>,
}

impl MetricsPort {
    /// Binds the port. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn bind(address: SocketAddr) -> Result<Self, MetricsError> {
        let failed = |cause| MetricsError::Bind { address, cause };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers scrapes with what `sources` say.
    pub fn answer(self, sources: Sources) -> Answering {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(self.listener, Arc::new(sources)));
        Answering {
            _accepting: accepting,
        }
    }
}

async fn accept(listener: TcpListener, sources: Arc<Sources>) {
    let mut scrapes = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = scrapes.join_next() => continue,
        };
        let stream = match accepted {
            Ok((stream, _reader)) => stream,
            Err(error) => {
                tracing::debug!(%error, "no scrape could be accepted");
                sleep(SHORTAGE_TIME).await;
                continue;
            }
        };
        open.retain(|scrape| !scrape.is_finished());
        if open.len() >= SCRAPES_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let scrape = timeout(SCRAPE_TIMEOUT, converse(stream, Arc::clone(&sources)));
        open.push_back(scrapes.spawn(async move {
            // Who does not read in time is closed.
            let _in_time = scrape.await;
        }));
    }
}

/// One request, one answer.
async fn converse(stream: TcpStream, sources: Arc<Sources>) {
    let service = service_fn(|request| {
        let answer = respond(&request, &sources);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(REQUEST_BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a scrape broke off");
    }
}

fn respond(request: &Request<Incoming>, sources: &Sources) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET | &Method::HEAD) => (StatusCode::OK, sources.to_text()),
        ("/metrics", _) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "metrics are read with GET\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "there is nothing but /metrics here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT_FORMAT);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
