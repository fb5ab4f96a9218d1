//! The engine: a few threads, one per core, that own every connection of the splice and sockmap
//! planes from the hand-over of its sockets to its end.
//!
//! ```text
//!   relay(pair) ──command──► worker (epoll, edge-triggered)
//!                              connection = two endpoints + two flows
//!   notice ring ──thread────►    flow: splice, or the verdict with user space for what it passes
//! ```
//!
//! A connection costs no thread, no pipe while nothing is under way, and no wake-up while it is
//! quiet or the kernel moves its bytes.

mod connection;
mod endpoint;
mod flow;
mod handover;
mod notices;
mod pipes;
mod timers;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::behaviour::Rule;
use super::live::RelayOrder;
use super::sockmap::Program;
use super::{EndReason, Plane, PlaneChoice, StreamPair, Totals, Transferred};
use notices::NoticeThread;
pub use pipes::WIDE_PIPE_BYTES;
use worker::{Command, WorkerHandle};

/// How the engine is set up.
pub struct EngineConfig {
    /// Threads; one per core is right.
    pub workers: usize,
    /// `Auto`, `Sockmap` or `Splice`; `Copy` has no use for an engine and is taken as `Splice`.
    pub choice: PlaneChoice,
    /// The loaded programs, where sockmap is wanted and can be had.
    pub program: Option<Arc<Program>>,
    /// Pipes of [`WIDE_PIPE_BYTES`] that the threads may make in all; more are of the kernel's size.
    pub wide_pipes: usize,
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A thread, an epoll instance or an eventfd was refused.
    #[error("cannot start a data-plane thread")]
    Start(#[from] io::Error),
}

/// A running engine; clones share it. Its threads end when the last clone is gone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    workers: Vec<WorkerHandle>,
    next: AtomicUsize,
    program: Option<Arc<Program>>,
    /// Dropped first to last: the notice thread holds mailboxes of the workers.
    _notices: Option<NoticeThread>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// [`EngineError::Start`].
    pub fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let rule = match config.choice {
            PlaneChoice::Auto => Rule::ByBehaviour,
            PlaneChoice::Sockmap => Rule::AtOnce,
            PlaneChoice::Copy | PlaneChoice::Splice => Rule::Never,
        };
        let count = config.workers.max(1);
        let wide_pipes = config.wide_pipes.div_ceil(count);
        let workers = (0..count)
            .map(|index| WorkerHandle::start(index, rule, config.program.clone(), wide_pipes))
            .collect::<io::Result<Vec<_>>>()?;
        let notices = match &config.program {
            Some(program) => Some(NoticeThread::start(
                Arc::clone(program),
                workers.iter().map(WorkerHandle::mailbox).collect(),
            )?),
            None => None,
        };
        Ok(Self(Arc::new(Inner {
            workers,
            next: AtomicUsize::new(0),
            program: config.program,
            _notices: notices,
        })))
    }

    /// Moves the pair's bytes until the connection is over; both sockets are closed then.
    ///
    /// Cancelling the future does not end the connection.
    pub async fn relay(&self, pair: StreamPair, order: RelayOrder) -> Transferred {
        let (reply, ended) = oneshot::channel();
        self.submit(pair, order, |transferred| {
            let _nobody_waits = reply.send(transferred);
        });
        // The sender is dropped unanswered only when the worker could not take the sockets.
        ended
            .await
            .unwrap_or_else(|_| Transferred::nothing(Plane::Splice, EndReason::Failed))
    }

    /// As [`Self::relay`], for callers without a runtime: `ended` is called from a worker's thread,
    /// or dropped uncalled when the sockets could not be taken over.
    pub fn submit(
        &self,
        pair: StreamPair,
        order: RelayOrder,
        ended: impl FnOnce(Transferred) + Send + 'static,
    ) {
        let turn = self.0.next.fetch_add(1, Ordering::Relaxed);
        if let Some(worker) = self.0.workers.get(turn % self.0.workers.len()) {
            worker.mailbox().send(Command::Join {
                pair,
                order,
                ended: Box::new(ended),
            });
        }
    }

    /// Ends the connections that were aborted by RST, so that what was cut short cannot be taken for
    /// a clean end.
    pub fn end_aborted(&self) {
        for worker in &self.0.workers {
            worker.mailbox().send(Command::EndAborted);
        }
    }

    /// Bytes moved since the start.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for worker in &self.0.workers {
            worker.counters().add_to(&mut totals);
        }
        totals.redirected = self
            .0
            .program
            .as_ref()
            .map_or(0, |program| program.redirected());
        totals
    }
}
