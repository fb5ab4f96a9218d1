//! One direction of a connection on the copy plane.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::buffer::{BufferPool, Chunk};
use super::leg::{Broken, Leg};
use super::{Activity, Shared};
use crate::dataplane::Direction;
use crate::dataplane::congestion::CongestionWatch;
use crate::dataplane::live::{Live, RelayOrder};

/// Reads in a row after which other connections, and the other direction, get their turn.
const READS_PER_TURN: u32 = 8;

/// One direction: what was read and is not written yet, and how far it has come. It lives outside
/// of the futures that drive it, so cancelling those loses nothing.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    buffers: &'a BufferPool,
    chunk: Option<Chunk<'a>>,
    total: &'a AtomicU64,
    live: &'a Live,
    direction: Direction,
    copied: u64,
    congestion: CongestionWatch,
    accepted: Option<u64>,
}

/// What a read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// Bytes to write.
    Bytes,
    /// FIN.
    End,
    /// Nothing yet.
    Nothing,
}

impl<'a> Flow<'a> {
    pub(super) fn new(shared: &'a Shared, order: &'a RelayOrder, direction: Direction) -> Self {
        Self {
            buffers: &shared.buffers,
            chunk: None,
            total: &shared.copied,
            live: &order.live,
            direction,
            copied: 0,
            congestion: CongestionWatch::new(order.terms.congestion_control),
            accepted: None,
        }
    }

    /// Moves bytes from `ingress` to `egress` until FIN, and passes that on.
    pub(super) async fn run(
        &mut self,
        ingress: &Leg,
        egress: &Leg,
        activity: &Activity,
    ) -> Result<(), Broken> {
        let mut reads = 0;
        while !self.is_finished() {
            match self.read(ingress)? {
                Read::Bytes => self.write_all(egress, activity).await?,
                Read::Nothing => {
                    self.chunk = None;
                    let ready = ingress.stream.readable().await;
                    ready.map_err(|error| ingress.break_with(error))?;
                }
                Read::End => self.pass_end(egress)?,
            }
            reads += 1;
            if reads % READS_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Reads once, unless bytes are pending.
    pub(super) fn read(&mut self, ingress: &Leg) -> Result<Read, Broken> {
        let buffers = self.buffers;
        let chunk = self.chunk.get_or_insert_with(|| buffers.take());
        if !chunk.is_empty() {
            return Ok(Read::Bytes);
        }
        match ingress.stream.try_read(chunk.room()) {
            Ok(0) => Ok(Read::End),
            Ok(length) => {
                chunk.filled(length);
                Ok(Read::Bytes)
            }
            Err(error) if is_transient(error.kind()) => Ok(Read::Nothing),
            Err(error) => Err(ingress.break_with(error)),
        }
    }

    /// Writes what is pending, waiting for room as often as it takes.
    async fn write_all(&mut self, egress: &Leg, activity: &Activity) -> Result<(), Broken> {
        while self.is_pending() {
            if self.write(egress)? {
                activity.touch();
            } else {
                let ready = egress.stream.writable().await;
                ready.map_err(|error| egress.break_with(error))?;
            }
        }
        Ok(())
    }

    /// Writes once; whether the egress took anything.
    pub(super) fn write(&mut self, egress: &Leg) -> Result<bool, Broken> {
        let Some(chunk) = &mut self.chunk else {
            return Ok(false);
        };
        match egress.stream.try_write(chunk.pending()) {
            Ok(length) => {
                chunk.written(length);
                self.copied += length as u64;
                self.total.fetch_add(length as u64, Ordering::Relaxed);
                self.live.set_moved(self.direction, 0, self.copied);
                self.congestion
                    .look(&egress.stream, self.copied, Instant::now);
                Ok(length > 0)
            }
            Err(error) if is_transient(error.kind()) => Ok(false),
            Err(error) => Err(egress.break_with(error)),
        }
    }

    /// Whether bytes are read and not written yet.
    pub(super) fn is_pending(&self) -> bool {
        self.chunk.as_ref().is_some_and(|chunk| !chunk.is_empty())
    }

    /// Everything read is written: sends FIN on, after the last look at the egress counters that
    /// FIN does not touch.
    fn pass_end(&mut self, egress: &Leg) -> Result<(), Broken> {
        self.chunk = None;
        let accepted = egress.taken();
        egress.finish_writing()?;
        self.accepted = Some(accepted);
        Ok(())
    }

    /// Bytes written to the egress.
    pub(super) fn copied(&self) -> u64 {
        self.copied
    }

    /// Whether FIN was read and passed on.
    pub(super) fn is_finished(&self) -> bool {
        self.accepted.is_some()
    }

    /// Bytes the egress took, once FIN was passed on.
    pub(super) fn accepted(&self) -> Option<u64> {
        self.accepted
    }
}

fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
