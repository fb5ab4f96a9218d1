//! A connection while it runs, as others see it: what has moved, what its sockets say, the pace it is
//! held to, and the wish that it ends.
//!
//! The plane that owns the connection stores its counts with plain stores of its own, so reading
//! them costs the plane nothing; what the verdict redirected is read from its slot. The sockets are
//! lent only under the lock, so once the owner has taken them back it holds the last reference, and
//! closing them is closing them.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::sockmap::SlotView;
use super::{Direction, Plane, RelayTerms, Totals, Transferred};
use crate::sys::sockopt::{max_pacing_rate, set_max_pacing_rate};
use crate::sys::tcp_info::TcpInfo;

/// A socket that is lent.
pub type LentSocket = Arc<dyn AsFd + Send + Sync>;

/// What a plane is told of a connection beside its sockets.
#[derive(Clone, Default)]
pub struct RelayOrder {
    /// How it is treated.
    pub terms: RelayTerms,
    /// Where it shows what it does.
    pub live: Arc<Live>,
}

/// A running connection.
#[derive(Default)]
pub struct Live {
    to_upstream: LiveFlow,
    to_downstream: LiveFlow,
    lent: Mutex<Lent>,
    aborted: AtomicBool,
    abort: Notify,
    /// [`RUNNING`], [`ENDING`] or [`ENDED`].
    end: AtomicU8,
}

/// Slots and counts hold.
const RUNNING: u8 = 0;
/// The final counts are being written.
const ENDING: u8 = 1;
/// The counts are final; slots may be someone else's.
const ENDED: u8 = 2;

#[derive(Default)]
struct LiveFlow {
    /// Bytes that splice(2) moved.
    spliced: AtomicU64,
    /// Bytes that went through a buffer of user space.
    copied: AtomicU64,
    /// Bytes that the verdict redirected, of a connection that has ended.
    redirected: AtomicU64,
    is_copied: AtomicBool,
    verdict: OnceLock<SlotView>,
    hop: OnceLock<SlotView>,
}

#[derive(Default)]
struct Lent {
    /// Downstream and upstream; none before the plane has them and after it closed them.
    sockets: Option<[LentSocket; 2]>,
    /// The pace of the flow to upstream, and of the one to downstream, bytes per second.
    paces: [Option<u64>; 2],
}

/// What the kernel says of a connection's sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketsView {
    /// What it measures on the accepted socket, and on the one to the target.
    pub infos: [Option<TcpInfo>; 2],
    /// The pace that it holds the flow to upstream to, and the one to downstream, bytes per second.
    pub paces: [Option<u64>; 2],
}

impl Live {
    /// Bytes moved so far in one direction.
    pub fn moved(&self, direction: Direction) -> u64 {
        self.moved_by(direction).moved()
    }

    /// The same, by what moved them.
    pub fn moved_by(&self, direction: Direction) -> Totals {
        let flow = self.flow(direction);
        while self.end.load(Ordering::Acquire) != ENDED {
            let redirected = [&flow.verdict, &flow.hop].map(|slot| {
                let slot = slot.get();
                slot.map_or(0, SlotView::redirected)
            });
            let moved = flow.totals(redirected.iter().sum());
            // The slots are given back only after the end was told.
            if self.end.load(Ordering::Acquire) == RUNNING {
                return moved;
            }
            std::hint::spin_loop();
        }
        flow.totals(flow.redirected.load(Ordering::Acquire))
    }

    /// Bytes of one direction that the verdict has passed to user space so far.
    pub(super) fn passed(&self, direction: Direction) -> u64 {
        let verdict = self.flow(direction).verdict.get();
        verdict.map_or(0, SlotView::passed)
    }

    /// How the bytes of one direction move now.
    pub fn plane(&self, direction: Direction) -> Plane {
        let flow = self.flow(direction);
        if flow.is_copied.load(Ordering::Relaxed) {
            Plane::Copy
        } else if flow.verdict.get().is_some() || flow.hop.get().is_some() {
            Plane::Sockmap
        } else {
            Plane::Splice
        }
    }

    /// What the kernel says of both sockets; nothing when they are not open. One look: they do not
    /// close between one answer and the next.
    pub fn sockets(&self) -> SocketsView {
        let lent = self.lent();
        let Some([downstream, upstream]) = &lent.sockets else {
            return SocketsView::default();
        };
        let [downstream, upstream] = [downstream.as_fd(), upstream.as_fd()];
        SocketsView {
            infos: [downstream, upstream].map(|socket| TcpInfo::of(socket).ok()),
            paces: [upstream, downstream].map(|egress| max_pacing_rate(egress).ok().flatten()),
        }
    }

    /// Holds one direction to `pace`, bytes per second, from now on; `None` lets it go as fast as it
    /// can. Counts for sockets that come later too.
    pub fn set_pace(&self, direction: Direction, pace: Option<u64>) {
        let mut lent = self.lent();
        if lent.pace(direction) == pace {
            return;
        }
        let [to_upstream, to_downstream] = &mut lent.paces;
        match direction {
            Direction::ToUpstream => *to_upstream = pace,
            Direction::ToDownstream => *to_downstream = pace,
        }
        lent.apply_pace(direction);
    }

    /// Asks for an end by a reset of both sides. The engine's planes must be told to look, see
    /// [`super::plane::StreamPlane::end_aborted`].
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        self.abort.notify_one();
    }

    /// Whether the connection is to end.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Acquire)
    }

    /// Completes when the connection is to end.
    pub(super) async fn aborted(&self) {
        while !self.is_aborted() {
            self.abort.notified().await;
        }
        // For whoever asks next.
        self.abort.notify_one();
    }

    /// The plane has the sockets: downstream and upstream.
    pub(super) fn lend(&self, sockets: [LentSocket; 2]) {
        let mut lent = self.lent();
        lent.sockets = Some(sockets);
        for direction in [Direction::ToUpstream, Direction::ToDownstream] {
            if lent.pace(direction).is_some() {
                lent.apply_pace(direction);
            }
        }
    }

    /// The plane is about to close the sockets: nobody else has them from here on.
    pub(super) fn take_back(&self) {
        self.lent().sockets = None;
    }

    /// Bytes of one direction that user space has moved.
    pub(super) fn set_moved(&self, direction: Direction, spliced: u64, copied: u64) {
        let flow = self.flow(direction);
        flow.spliced.store(spliced, Ordering::Release);
        flow.copied.store(copied, Ordering::Release);
    }

    /// User space copies the bytes of both directions.
    pub(super) fn set_copied(&self) {
        for flow in [&self.to_upstream, &self.to_downstream] {
            flow.is_copied.store(true, Ordering::Relaxed);
        }
    }

    /// The verdict moves the bytes of one direction.
    pub(super) fn set_verdict(&self, direction: Direction, slot: SlotView) {
        let _first = self.flow(direction).verdict.set(slot);
    }

    /// Messages of one direction may jump the hop from a local application.
    pub(super) fn set_hop(&self, direction: Direction, slot: SlotView) {
        let _first = self.flow(direction).hop.set(slot);
    }

    /// The connection is over, and this is what it moved; to be told before its slots are given back.
    pub(super) fn end(&self, transferred: &Transferred) {
        self.end.store(ENDING, Ordering::Release);
        let Transferred {
            to_upstream,
            to_downstream,
            ..
        } = transferred;
        for (direction, report) in Direction::BOTH
            .into_iter()
            .zip([to_upstream, to_downstream])
        {
            let redirected = &self.flow(direction).redirected;
            redirected.store(report.redirected, Ordering::Release);
            self.set_moved(direction, report.spliced, report.copied);
        }
        self.end.store(ENDED, Ordering::Release);
    }

    fn flow(&self, direction: Direction) -> &LiveFlow {
        match direction {
            Direction::ToUpstream => &self.to_upstream,
            Direction::ToDownstream => &self.to_downstream,
        }
    }

    fn lent(&self) -> std::sync::MutexGuard<'_, Lent> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveFlow {
    fn totals(&self, redirected: u64) -> Totals {
        Totals {
            redirected,
            spliced: self.spliced.load(Ordering::Acquire),
            copied: self.copied.load(Ordering::Acquire),
        }
    }
}

impl Lent {
    fn egress(&self, direction: Direction) -> Option<BorrowedFd<'_>> {
        let [downstream, upstream] = self.sockets.as_ref()?;
        Some(match direction {
            Direction::ToUpstream => upstream.as_fd(),
            Direction::ToDownstream => downstream.as_fd(),
        })
    }

    fn pace(&self, direction: Direction) -> Option<u64> {
        let [to_upstream, to_downstream] = self.paces;
        match direction {
            Direction::ToUpstream => to_upstream,
            Direction::ToDownstream => to_downstream,
        }
    }

    /// The egress socket paces itself, whoever fills it: a call of ours or the kernel's redirect.
    fn apply_pace(&self, direction: Direction) {
        let Some(socket) = self.egress(direction) else {
            return;
        };
        if let Err(error) = set_max_pacing_rate(socket, self.pace(direction)) {
            tracing::debug!(?direction, %error, "a connection is not paced");
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("to_upstream", &self.moved(Direction::ToUpstream))
            .field("to_downstream", &self.moved(Direction::ToDownstream))
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RelayOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayOrder")
            .field("terms", &self.terms)
            .field("live", &self.live)
            .finish()
    }
}
