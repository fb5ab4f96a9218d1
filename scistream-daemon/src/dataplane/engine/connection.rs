//! One connection: two endpoints, two flows, and how it ends.
//!
//! A reset of one side is passed on only after what that side sent before it has reached the other
//! one, as it would have without a gateway; a reader that does not take it is given
//! [`RESET_GRACE`] without progress.

use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

use super::super::behaviour::Judgement;
use super::super::live::RelayOrder;
use super::super::{Direction, EndReason, StreamPair, Transferred};
use super::endpoint::Endpoint;
use super::flow::{Fault, Flow, Pump, Stage};
use super::handover;
use super::worker::{Ended, Shared};
use crate::sys;

/// How long the survivor of a reset may go without taking a byte before it is reset too.
const RESET_GRACE: Duration = Duration::from_secs(1);
/// First and longest pause between two looks at a backlog: the kernel moves it by itself.
const FIRST_LOOK: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(4);

/// Index of the accepted socket, and of the flow out of it.
pub(super) const DOWNSTREAM: usize = 0;
/// Index of the dialled socket, and of the flow out of it.
pub(super) const UPSTREAM: usize = 1;

/// What the worker does next with a connection.
pub(super) enum Next {
    /// Drive it again after the others.
    Again,
    /// Close it and report.
    End(EndReason),
    /// Wait for an event or the deadline.
    Wait,
}

/// A side has failed; the other one gets what is left, then a reset.
struct Reset {
    by: usize,
    /// What the survivor had acknowledged at the last look.
    acknowledged: u64,
    give_up_at: Instant,
}

/// A connection of a worker.
pub(super) struct Connection {
    token: u64,
    ends: [Endpoint; 2],
    flows: [Flow; 2],
    order: RelayOrder,
    ended: Ended,
    reset: Option<Reset>,
    pause: Duration,
    deadline: Option<Instant>,
    /// When bytes last moved, and how many had by then; kept only with an idle time-out.
    active_at: Instant,
    active_bytes: u64,
    /// It waits for its turn already.
    pub(super) scheduled: bool,
}

impl Connection {
    /// Takes the sockets over and registers them.
    pub(super) fn new(
        token: u64,
        pair: StreamPair,
        order: RelayOrder,
        ended: Ended,
        shared: &Shared,
    ) -> Result<Self, sys::Error> {
        let mut ends = [
            Endpoint::new(pair.downstream)?,
            Endpoint::new(pair.upstream)?,
        ];
        let control = order.terms.congestion_control;
        let mut flows = [Flow::new(control), Flow::new(control)];
        if let Some(program) = shared
            .program
            .as_ref()
            .filter(|program| program.has_local_apps())
        {
            handover::join_local_apps(program, &mut ends, &mut flows);
        }
        for (side, end) in ends.iter().enumerate() {
            end.register(&shared.epoll, token | side as u64)
                .map_err(|errno| sys::Error::new("epoll_ctl(ADD)", errno))?;
            if let Some(hop) = flows[side].hop() {
                order.live.set_hop(direction(side), hop.view());
            }
        }
        order.live.lend(ends.each_ref().map(Endpoint::to_lend));
        Ok(Self {
            token,
            ends,
            flows,
            order,
            ended,
            reset: None,
            pause: FIRST_LOOK,
            deadline: None,
            active_at: Instant::now(),
            active_bytes: 0,
            scheduled: false,
        })
    }

    /// Takes over what epoll said of one side.
    pub(super) fn on_event(&mut self, side: usize, flags: EventFlags) {
        if let Some(end) = self.ends.get_mut(side) {
            end.on_event(flags);
        }
    }

    /// The verdict passed bytes out of `side`, or may have.
    pub(super) fn on_passed(&mut self, side: usize, now: Instant) {
        if let (Some(end), Some(flow)) = (self.ends.get_mut(side), self.flows.get_mut(side)) {
            end.readable = true;
            flow.attend(now);
        }
    }

    /// The slot of the flow out of `side`.
    pub(super) fn slot(&self, side: usize) -> Option<(u32, u32)> {
        self.flows.get(side).and_then(Flow::slot)
    }

    /// Moves what can be moved now.
    pub(super) fn drive(&mut self, shared: &mut Shared, now: Instant) -> Next {
        let mut again = false;
        let mut backlog = false;
        self.look_once_more(now);
        for side in [DOWNSTREAM, UPSTREAM] {
            match self.pump(side, shared) {
                Ok(Pump::Again) => again = true,
                Ok(Pump::Backlogged) => backlog = true,
                Ok(Pump::Drained) => again |= self.promote(side, shared),
                Ok(Pump::Blocked | Pump::Over) => {}
                Err(Fault::Egress) => self.ends[1 - side].failed = true,
                Err(Fault::Gateway) => return Next::End(EndReason::Failed),
            }
        }
        if let Some(end) = self.progress(now, &mut again, &mut backlog) {
            return Next::End(end);
        }
        if self.attend(shared).is_err() {
            return Next::End(EndReason::Failed);
        }
        if again {
            return Next::Again;
        }
        self.arm(shared, now, backlog)
    }

    /// Reads where it is time to, unasked.
    fn look_once_more(&mut self, now: Instant) {
        for (end, flow) in self.ends.iter_mut().zip(&self.flows) {
            end.readable |= flow.look_at().is_some_and(|at| at <= now);
        }
    }

    fn pump(&mut self, side: usize, shared: &mut Shared) -> Result<Pump, Fault> {
        let [downstream, upstream] = &mut self.ends;
        let (ingress, egress) = match side {
            DOWNSTREAM => (downstream, upstream),
            _ => (upstream, downstream),
        };
        if egress.failed {
            return Ok(Pump::Over);
        }
        let flow = &mut self.flows[side];
        let pump = flow.pump(ingress, egress, shared);
        let live = &self.order.live;
        let (spliced, copied) = flow.moved_by_user_space();
        live.set_moved(direction(side), spliced, copied);
        pump
    }

    /// How far the connection is towards its end.
    fn progress(
        &mut self,
        now: Instant,
        again: &mut bool,
        backlog: &mut bool,
    ) -> Option<EndReason> {
        if self.reset.is_none() {
            let by = self.ends.iter().position(|end| end.failed)?;
            let give_up_at = now + RESET_GRACE;
            self.reset = Some(Reset {
                by,
                acknowledged: 0,
                give_up_at,
            });
            // What it sent before it failed is still to be read.
            self.ends[by].readable = true;
            *again = true;
            return None;
        }
        self.settle_reset(now, backlog)
    }

    fn settle_reset(&mut self, now: Instant, backlog: &mut bool) -> Option<EndReason> {
        let Reset {
            by,
            acknowledged,
            give_up_at,
        } = self.reset.as_mut()?;
        let reason = match *by {
            DOWNSTREAM => EndReason::DownstreamReset,
            _ => EndReason::UpstreamReset,
        };
        let survivor = &self.ends[1 - *by];
        let flow = &self.flows[*by];
        let all_read = matches!(flow.stage(), Stage::Cut | Stage::Shut);
        let under_way = flow.is_delivered(survivor).ok() == Some(false);
        let left = survivor.unacknowledged();
        if survivor.failed || (all_read && !under_way && left == 0) || now >= *give_up_at {
            survivor.reset_on_close();
            return Some(reason);
        }
        let so_far = survivor.acknowledged();
        if so_far != *acknowledged {
            *acknowledged = so_far;
            *give_up_at = now + RESET_GRACE;
        }
        *backlog = true;
        None
    }

    /// Hands the flow out of `side` to the verdict when the rule says so; true when it did.
    fn promote(&mut self, side: usize, shared: &mut Shared) -> bool {
        let Some(program) = &shared.program else {
            return false;
        };
        let flow = &mut self.flows[side];
        if !flow.can_be_promoted() || self.ends.iter().any(|end| end.failed) {
            return false;
        }
        match shared.rule.judge(flow.seen()) {
            Judgement::Wait => return false,
            Judgement::Stay => {
                flow.forget();
                return false;
            }
            Judgement::Watch => {
                flow.watch_on();
                return false;
            }
            Judgement::Promote => {}
        }
        let [downstream, upstream] = &mut self.ends;
        let (ingress, egress) = match side {
            DOWNSTREAM => (downstream, upstream),
            _ => (upstream, downstream),
        };
        match handover::hand_over(program, ingress, egress) {
            Ok(lease) => {
                shared
                    .by_slot
                    .insert(lease.id().0, self.token | side as u64);
                let live = &self.order.live;
                live.set_verdict(direction(side), lease.view());
                flow.hand_over(lease, shared.now);
                // Runs the verdict over what arrived before the socket was in the map.
                ingress.readable = true;
                true
            }
            Err(declined) => {
                flow.declined = true;
                tracing::debug!(error = %declined, "sockmap declined a connection; it stays on splice");
                false
            }
        }
    }

    /// Asks epoll for what is of use now, and no more.
    fn attend(&mut self, shared: &Shared) -> rustix::io::Result<()> {
        for side in [DOWNSTREAM, UPSTREAM] {
            let read = self.flows[side].wants_read() || self.flows[side].slot().is_none();
            let write = self.flows[1 - side].wants_write();
            self.ends[side].attend(&shared.epoll, self.token | side as u64, read, write)?;
        }
        Ok(())
    }

    /// Arms the connection's deadline, if it needs one.
    fn arm(&mut self, shared: &mut Shared, now: Instant, backlog: bool) -> Next {
        if self.flows.iter().all(|flow| flow.stage() == Stage::Shut) {
            return Next::End(EndReason::Finished);
        }
        let wanted = if backlog {
            let at = now + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            Some(at)
        } else {
            self.pause = FIRST_LOOK;
            let idle = self.idle_deadline(now);
            if idle.is_some_and(|at| at <= now) {
                return Next::End(EndReason::IdleTimeout);
            }
            let looks = self.flows.iter().filter_map(Flow::look_at);
            looks.chain(idle).min()
        };
        if let Some(at) = wanted
            && self.deadline.is_none_or(|armed| armed > at || armed <= now)
        {
            self.deadline = Some(at);
            shared.timers.arm(at, self.token);
        }
        Next::Wait
    }

    fn idle_deadline(&mut self, now: Instant) -> Option<Instant> {
        let timeout = self.order.terms.idle_timeout?;
        let moved = self.flows.iter().map(Flow::moved).sum();
        if moved != self.active_bytes {
            (self.active_bytes, self.active_at) = (moved, now);
        }
        Some(self.active_at + timeout)
    }

    /// Whether somebody wants it to end.
    pub(super) fn is_aborted(&self) -> bool {
        self.order.live.is_aborted()
    }

    /// Whether `at` is the deadline that counts.
    pub(super) fn is_due(&self, at: Instant) -> bool {
        self.deadline == Some(at)
    }

    /// Closes both sockets, then frees the slots, then reports.
    pub(super) fn end(self, reason: EndReason, shared: &mut Shared) {
        // A socket that cannot be asked has counted nothing that could be checked.
        let accounts = self
            .ends
            .each_ref()
            .map(|end| end.account().unwrap_or_default());
        let [to_upstream, to_downstream] = [DOWNSTREAM, UPSTREAM].map(|side| {
            if let Some((slot, _)) = self.flows[side].slot() {
                shared.by_slot.remove(&slot);
            }
            self.flows[side].report(&accounts[side], &accounts[1 - side])
        });
        for end in &self.ends {
            if reason == EndReason::Finished {
                end.close_after_sending();
            } else {
                end.reset_on_close();
            }
        }
        let transferred = Transferred {
            to_upstream,
            to_downstream,
            end: reason,
        };
        self.order.live.end(&transferred);
        self.order.live.take_back();
        // A verdict may run until its socket is closed, and it writes the slot.
        drop(self.ends);
        self.flows
            .into_iter()
            .flat_map(Flow::into_leases)
            .for_each(drop);
        (self.ended)(transferred);
    }
}

/// The direction of the flow out of `side`.
fn direction(side: usize) -> Direction {
    match side {
        DOWNSTREAM => Direction::ToUpstream,
        _ => Direction::ToDownstream,
    }
}
