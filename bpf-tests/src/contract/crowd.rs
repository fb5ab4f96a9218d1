//! Many connections: opened at once, told apart by what they say rather than by their order, so
//! that bytes that end up in another's connection are found too.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::patience::stretched;
use crate::traffic::{Draw, Endpoint, Pace, Pattern, Task, together};

use super::rig::Rig;

/// Connections that all do the same with different bytes: each end introduces itself, sends, and
/// finishes, while it receives what the other end announced and its FIN.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many in all.
    pub connections: u64,
    /// How many at a time.
    pub at_once: u64,
    /// The fewest and, not included, the most bytes each end sends after its introduction.
    pub bytes: (u64, u64),
    /// The most bytes per write and the longest pause before it; `None` is as fast as it goes.
    pub dribble: Option<(u64, Duration)>,
}

/// So few bytes that either end can send them before it reads: they fit into any buffer.
const SHORT_BYTES: u64 = 4 << 10;

/// The seeds of a connection's two streams: the downstream end's and the upstream end's.
type Pair = (u64, u64);

/// What the ends of a crowd saw.
#[derive(Default)]
struct Seen {
    downstream: BTreeSet<Pair>,
    upstream: BTreeSet<Pair>,
    /// Of each connection: where it came from, and the bytes sent and received by its dialling end.
    counts: Vec<(SocketAddr, [u64; 2])>,
}

impl Crowd {
    /// Runs all of them.
    ///
    /// # Errors
    /// When one of them fails, or two were mixed up.
    pub fn run(&self, rig: &Rig<'_>) -> Result<()> {
        let [dialled, accepted] = [AtomicU64::new(0), AtomicU64::new(0)];
        let seen = Mutex::new(Seen::default());
        let dialling = (0..self.at_once).map(|_| -> Task<'_> {
            Box::new(|| {
                rig.at_producer(|| self.take_turns(&dialled, || self.dial_one(rig, &seen)))?
            })
        });
        let accepting = (0..self.at_once).map(|_| -> Task<'_> {
            Box::new(|| self.take_turns(&accepted, || self.accept_one(rig, &seen)))
        });
        together(dialling.chain(accepting))?;
        let Seen {
            downstream,
            upstream,
            counts,
        } = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        ensure!(
            downstream == upstream,
            "connections were mixed up: downstream ends met {downstream:x?}, upstream ends \
             {upstream:x?}"
        );
        for (address, [sent, received]) in counts {
            let closed = rig.log().closed_carrying(address, [sent, received])?;
            closed.ended("finished")?;
            closed.carried(sent, received)?;
            closed.on_plane(rig.mount().plane())?;
        }
        Ok(())
    }

    fn take_turns(&self, turns: &AtomicU64, one: impl Fn() -> Result<()>) -> Result<()> {
        while turns.fetch_add(1, Ordering::Relaxed) < self.connections {
            one()?;
        }
        Ok(())
    }

    fn dial_one(&self, rig: &Rig<'_>, seen: &Mutex<Seen>) -> Result<()> {
        let stream = TcpStream::connect_timeout(&rig.listen(), stretched(Duration::from_secs(20)))
            .context("dialling the gateway")?;
        let address = stream.local_addr()?;
        let end = self.end(rig, "downstream", stream)?;
        let (own, peers) = self.converse(rig, &end)?;
        let mut seen = lock(seen);
        seen.downstream.insert((own, peers));
        seen.counts.push((address, [end.sent(), end.received()]));
        Ok(())
    }

    fn accept_one(&self, rig: &Rig<'_>, seen: &Mutex<Seen>) -> Result<()> {
        let end = self.end(rig, "upstream", rig.accept()?)?;
        let (own, peers) = self.converse(rig, &end)?;
        lock(seen).upstream.insert((peers, own));
        Ok(())
    }

    fn end(&self, rig: &Rig<'_>, name: &str, stream: TcpStream) -> Result<Endpoint> {
        let outgoing = Pattern::new(rig.mount().seed().derive());
        // The incoming stream is known once the peer has introduced itself.
        rig.endpoint(name, stream, [outgoing, outgoing])
    }

    /// Sends and receives at once; gives the seeds of its own stream and of its peer's.
    fn converse(&self, rig: &Rig<'_>, end: &Endpoint) -> Result<(u64, u64)> {
        let mut draw = Draw::new(rig.mount().seed().derive());
        let (fewest, most) = self.bytes;
        let bytes = draw.within(fewest..most);
        let pace = match self.dribble {
            None => Pace::Full,
            Some((most_bytes, most_pause)) => Pace::Random(draw, most_bytes, most_pause),
        };
        let peer = Mutex::new(None);
        let say = || {
            end.introduce(bytes)?;
            end.send_paced(bytes, pace)?;
            end.finish()
        };
        let hear = || {
            let introduction = end.meet()?;
            end.receive(introduction.bytes)?;
            end.receive_fin()?;
            *lock(&peer) = Some(introduction.seed);
            Ok(())
        };
        if most <= SHORT_BYTES && self.dribble.is_none() {
            say().and_then(|()| hear())?;
        } else {
            crate::together!(say, hear)?;
        }
        let peer = lock(&peer).context("the peer did not introduce itself")?;
        Ok((end.outgoing().seed(), peer))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
