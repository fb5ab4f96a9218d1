//! One direction of a connection: from the ingress endpoint to the egress endpoint.
//!
//! ```text
//!   Open ──FIN read──► Ended ──all in the egress queue──► Shut   (FIN passed on)
//!     └──ingress failed──► Cut                                   (never a FIN)
//! ```
//!
//! Bytes are filled into a pipe (splice) or a buffer (what the verdict passed, or when no pipe could
//! be had) and flushed before the next fill, so the order is that of the ingress.

mod buffered;
mod piped;

use std::time::{Duration, Instant};

use super::super::behaviour::Behaviour;
use super::super::congestion::{CongestionControl, CongestionWatch};
use super::super::gathering::{Change, GATHER_BYTES, Gathering};
use super::super::sockmap::Lease;
use super::super::{DirectionReport, Plane};
use super::endpoint::{Account, Endpoint};
use super::worker::Shared;
use crate::sys;
pub(super) use buffered::BufferPool;
use buffered::Held;
use piped::Piped;

/// Bytes after which a flow lets the worker's other connections have a turn.
const TURN_BYTES: usize = 4 << 20;
/// How long user space asks for read events after the verdict last passed bytes. Each redirected
/// segment is a wake-up in that time, in the kernel only: nothing is there to read.
const ATTENTION: Duration = Duration::from_millis(10);

/// Where a flow stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Bytes may come.
    Open,
    /// The FIN was read; bytes may still be under way to the egress queue.
    Ended,
    /// The FIN was passed on.
    Shut,
    /// The ingress failed after its last byte was read; no FIN will be passed on.
    Cut,
}

/// Why [`Flow::pump`] returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pump {
    /// More to do; others have a turn first.
    Again,
    /// The egress has no room; its epoll event resumes.
    Blocked,
    /// The ingress is empty and everything is delivered; its epoll event resumes.
    Drained,
    /// Nothing is left to do in this direction.
    Over,
    /// The kernel is still moving redirected bytes into the egress queue: look again shortly.
    Backlogged,
}

/// Whose socket failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Writing was refused.
    Egress,
    /// A call that says nothing about a peer was refused.
    Gateway,
}

impl From<sys::Error> for Fault {
    fn from(_: sys::Error) -> Self {
        Self::Gateway
    }
}

/// What a fill found.
enum Fill {
    Bytes(usize),
    Empty,
    End,
    Failed,
    /// The ingress ended, but bytes that the verdict passed have not surfaced yet: the kernel has
    /// queued them behind the socket's own egress backlog.
    Late,
    /// The verdict could not cut off bytes that had come before.
    Repeated,
}

/// User space's half of the sockmap plane.
struct VerdictSide {
    lease: Lease,
    /// Of the passed bytes, those written to the egress socket.
    forwarded: u64,
    /// Whether read events are asked for.
    attending: bool,
    /// When the verdict last passed bytes, or may have.
    passed_at: Instant,
    /// Everything redirected before the held bytes is in the egress queue.
    in_order: bool,
}

/// One direction.
pub(super) struct Flow {
    stage: Stage,
    verdict: Option<VerdictSide>,
    /// The slot of a local application, whose messages may jump the hop to the ingress.
    hop: Option<Lease>,
    piped: Piped,
    held: Held,
    spliced: u64,
    copied: u64,
    /// `moved` at the last drain.
    drained_at: u64,
    seen: Behaviour,
    gathering: Gathering,
    congestion: CongestionWatch,
    /// Promotion was refused by the kernel once; it is not asked again.
    pub(super) declined: bool,
}

impl Flow {
    pub(super) fn new(control: CongestionControl) -> Self {
        Self {
            stage: Stage::Open,
            verdict: None,
            hop: None,
            piped: Piped::default(),
            held: Held::default(),
            spliced: 0,
            copied: 0,
            drained_at: 0,
            seen: Behaviour::default(),
            gathering: Gathering::default(),
            congestion: CongestionWatch::new(control),
            declined: false,
        }
    }

    /// Moves what can be moved now.
    ///
    /// # Errors
    /// The [`Fault`]; a failed ingress is no error but the end of the flow, [`Stage::Cut`].
    pub(super) fn pump(
        &mut self,
        ingress: &mut Endpoint,
        egress: &mut Endpoint,
        shared: &mut Shared,
    ) -> Result<Pump, Fault> {
        let (spliced, copied) = (self.spliced, self.copied);
        let pump = self.turn(ingress, egress, shared);
        shared
            .counters
            .add(self.spliced - spliced, self.copied - copied);
        let moved = self.spliced + self.copied;
        self.congestion.look(egress, moved, || shared.now);
        pump
    }

    fn turn(
        &mut self,
        ingress: &mut Endpoint,
        egress: &mut Endpoint,
        shared: &mut Shared,
    ) -> Result<Pump, Fault> {
        let mut left = TURN_BYTES;
        loop {
            if let Some(wait) = self.flush(egress, shared)? {
                return Ok(wait);
            }
            match self.stage {
                Stage::Open => {}
                Stage::Ended => return self.pass_fin_on(egress),
                Stage::Cut | Stage::Shut => return Ok(Pump::Over),
            }
            if !ingress.readable {
                return Ok(Pump::Drained);
            }
            if left == 0 {
                return Ok(Pump::Again);
            }
            match self.fill(ingress, shared) {
                Fill::Bytes(count) => left = left.saturating_sub(count),
                Fill::Empty => {
                    ingress.readable = false;
                    self.on_drained(ingress, shared.now)?;
                }
                Fill::Late => return Ok(Pump::Backlogged),
                Fill::Repeated => return Err(Fault::Gateway),
                Fill::End if ingress.failed => self.stage = Stage::Cut,
                Fill::End => self.stage = Stage::Ended,
                Fill::Failed => {
                    ingress.failed = true;
                    self.stage = Stage::Cut;
                }
            }
        }
    }

    fn fill(&mut self, ingress: &mut Endpoint, shared: &mut Shared) -> Fill {
        let Some(verdict) = &mut self.verdict else {
            if !ingress.urgent
                && let Some(fill) = self.piped.fill(ingress, &mut shared.pipes)
            {
                return fill;
            }
            return self.held.fill(ingress, &mut shared.buffers);
        };
        if verdict.lease.has_repeated() {
            return Fill::Repeated;
        }
        let fill = self.held.fill(ingress, &mut shared.buffers);
        match fill {
            Fill::Bytes(_) => {
                verdict.attending = true;
                verdict.passed_at = shared.now;
            }
            // The receive call took the socket's lock after `forwarded` was stored, so from here
            // on the verdict sees that nothing is owed, and sends a notice when it passes again.
            Fill::Empty if verdict.lease.passed() == verdict.forwarded => {
                verdict.attending &= shared.now < verdict.passed_at + ATTENTION;
            }
            Fill::End | Fill::Failed if verdict.lease.passed() != verdict.forwarded => {
                ingress.failed |= matches!(fill, Fill::Failed);
                return Fill::Late;
            }
            // Passed bytes have not surfaced yet; an event will tell.
            Fill::Empty => verdict.passed_at = shared.now,
            Fill::End | Fill::Failed | Fill::Late | Fill::Repeated => {}
        }
        fill
    }

    /// Writes what is under way; `None` when nothing is left of it.
    fn flush(&mut self, egress: &mut Endpoint, shared: &mut Shared) -> Result<Option<Pump>, Fault> {
        if self.piped.is_empty() && self.held.is_empty() {
            return Ok(None);
        }
        if !egress.writable {
            return Ok(Some(Pump::Blocked));
        }
        if !self.held.is_empty() && !self.is_in_order(egress)? {
            return Ok(Some(Pump::Backlogged));
        }
        let piped = self.piped.flush(egress, &mut shared.pipes)?;
        self.spliced += piped;
        let sent = self.held.flush(egress, &mut shared.buffers)?;
        self.copied += sent;
        if let Some(verdict) = &mut self.verdict
            && sent > 0
        {
            verdict.forwarded += sent;
            verdict.lease.set_forwarded(verdict.forwarded);
            verdict.in_order &= !self.held.is_empty();
        }
        if egress.writable {
            return Ok(None);
        }
        self.seen.blocked = true;
        Ok(Some(Pump::Blocked))
    }

    /// Whether everything redirected before the held bytes is in the egress queue. The verdict
    /// redirects nothing more until they are written, so the answer stays true.
    fn is_in_order(&mut self, egress: &Endpoint) -> Result<bool, Fault> {
        let moved = self.moved();
        let Some(verdict) = &mut self.verdict else {
            return Ok(true);
        };
        if !verdict.in_order {
            verdict.in_order = egress.queued()? >= moved;
        }
        Ok(verdict.in_order)
    }

    fn pass_fin_on(&mut self, egress: &mut Endpoint) -> Result<Pump, Fault> {
        if !egress.failed && !self.is_delivered(egress)? {
            return Ok(Pump::Backlogged);
        }
        egress.shutdown_write();
        self.stage = Stage::Shut;
        Ok(Pump::Over)
    }

    /// Whether every byte moved is in the egress queue.
    pub(super) fn is_delivered(&self, egress: &Endpoint) -> Result<bool, Fault> {
        Ok(self.verdict.is_none() || egress.queued()? >= self.moved())
    }

    fn on_drained(&mut self, ingress: &Endpoint, now: Instant) -> Result<(), Fault> {
        let bytes = self.moved() - self.drained_at;
        self.drained_at += bytes;
        if self.verdict.is_some() || self.hop.is_some() {
            return Ok(());
        }
        if bytes > 0 {
            self.seen.on_drained(bytes, now);
        }
        match self.gathering.on_drained(bytes, now) {
            Change::Keep => {}
            Change::Raise => ingress.wake_from(GATHER_BYTES)?,
            Change::Lower => ingress.wake_from(1)?,
        }
        Ok(())
    }

    /// What was seen since the window began.
    pub(super) fn seen(&self) -> &Behaviour {
        &self.seen
    }

    /// Begins a new window of observation, as if there had been none.
    pub(super) fn forget(&mut self) {
        self.seen = Behaviour::default();
    }

    /// Begins the next window of observation, after one of messages.
    pub(super) fn watch_on(&mut self) {
        self.seen = self.seen.next_window();
    }

    /// Whether the flow may leave for the sockmap plane now: nothing under way, none there yet.
    pub(super) fn can_be_promoted(&self) -> bool {
        self.stage == Stage::Open
            && self.verdict.is_none()
            && self.hop.is_none()
            && !self.declined
            && self.gathering.until().is_none()
            && self.piped.is_empty()
            && self.held.is_empty()
    }

    /// From here on the verdict moves the bytes.
    pub(super) fn hand_over(&mut self, lease: Lease, now: Instant) {
        self.verdict = Some(VerdictSide {
            lease,
            forwarded: 0,
            attending: true,
            passed_at: now,
            in_order: false,
        });
    }

    /// The ingress comes from an application on this host, whose messages may jump the hop.
    pub(super) fn set_hop(&mut self, lease: Lease) {
        self.hop = Some(lease);
    }

    /// The verdict has passed bytes, or may have.
    pub(super) fn attend(&mut self, now: Instant) {
        if let Some(verdict) = &mut self.verdict {
            verdict.attending = true;
            verdict.passed_at = now;
        }
    }

    /// When user space reads once more unasked: before it stops asking for read events on behalf of
    /// the verdict, and to see what came short of the low-water mark. Not while bytes are under way:
    /// room in the egress is what they wait for.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let until = match &self.verdict {
            Some(verdict) => verdict.attending.then(|| verdict.passed_at + ATTENTION),
            None => self.gathering.until(),
        };
        until.filter(|_| self.stage == Stage::Open && self.piped.is_empty() && self.held.is_empty())
    }

    /// Whether read events of the ingress are of use.
    pub(super) fn wants_read(&self) -> bool {
        self.stage == Stage::Open
            && self
                .verdict
                .as_ref()
                .is_none_or(|verdict| verdict.attending)
    }

    /// Whether write events of the egress are of use.
    pub(super) fn wants_write(&self) -> bool {
        self.verdict.is_none() || !self.held.is_empty()
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// The slot and its use, when the flow is on the sockmap plane.
    pub(super) fn slot(&self) -> Option<(u32, u32)> {
        self.verdict.as_ref().map(|verdict| verdict.lease.id())
    }

    /// Bytes that calls of user space moved so far: by splice(2), and through a buffer.
    pub(super) fn moved_by_user_space(&self) -> (u64, u64) {
        (self.spliced, self.copied)
    }

    /// The slot of the local application whose messages may jump the hop.
    pub(super) fn hop(&self) -> Option<&Lease> {
        self.hop.as_ref()
    }

    /// Bytes moved so far, by the kernel and by user space.
    pub(super) fn moved(&self) -> u64 {
        self.redirected() + self.spliced + self.copied
    }

    fn redirected(&self) -> u64 {
        let leases = self
            .verdict
            .as_ref()
            .map(|verdict| &verdict.lease)
            .into_iter();
        leases.chain(&self.hop).map(Lease::redirected).sum()
    }

    /// The direction's ledger, from what its two sockets counted.
    pub(super) fn report(&self, ingress: &Account, egress: &Account) -> DirectionReport {
        let fin_read = matches!(self.stage, Stage::Ended | Stage::Shut);
        // What jumped the hop never reached the ingress socket, and was received all the same.
        let past_the_hop = self.hop.as_ref().map_or(0, Lease::redirected);
        let redirected = self.redirected();
        DirectionReport {
            plane: if redirected > 0 || self.verdict.is_some() {
                Plane::Sockmap
            } else {
                Plane::Splice
            },
            received: ingress.received.saturating_sub(u64::from(fin_read)) + past_the_hop,
            redirected,
            spliced: self.spliced,
            copied: self.copied,
            accepted: egress.queued,
            flips: self
                .verdict
                .as_ref()
                .map_or(0, |verdict| verdict.lease.flips()),
            finished: self.stage == Stage::Shut,
        }
    }

    /// The leases, to be dropped after the sockets are closed.
    pub(super) fn into_leases(self) -> impl Iterator<Item = Lease> {
        self.verdict
            .map(|verdict| verdict.lease)
            .into_iter()
            .chain(self.hop)
    }
}
