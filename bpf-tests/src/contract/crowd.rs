//! Many connections: opened at once, told apart by what they say rather than by their order, so
//! that bytes that end up in another's connection are found too.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

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

/// The seeds of a connection's two streams: the downstream end's and the upstream end's.
type Pair = (u64, u64);

impl Crowd {
    /// Runs all of them.
    ///
    /// # Errors
    /// When one of them fails, or two were mixed up.
    pub fn run(&self, rig: &Rig<'_>) -> Result<()> {
        let turns = [AtomicU64::new(0), AtomicU64::new(0)];
        let pairs = [Mutex::default(), Mutex::default()];
        let [dialled, accepted] = &turns;
        let [seen_downstream, seen_upstream] = &pairs;
        let dialling = (0..self.at_once).map(|_| -> Task<'_> {
            Box::new(|| {
                rig.at_producer(|| {
                    self.take_turns(dialled, || self.dial_one(rig, seen_downstream))
                })?
            })
        });
        let accepting = (0..self.at_once).map(|_| -> Task<'_> {
            Box::new(|| self.take_turns(accepted, || self.accept_one(rig, seen_upstream)))
        });
        together(dialling.chain(accepting))?;
        let [seen_downstream, seen_upstream] =
            pairs.map(|seen| seen.into_inner().unwrap_or_else(PoisonError::into_inner));
        ensure!(
            seen_downstream == seen_upstream,
            "connections were mixed up: downstream ends met {seen_downstream:x?}, upstream ends \
             {seen_upstream:x?}"
        );
        Ok(())
    }

    fn take_turns(&self, turns: &AtomicU64, one: impl Fn() -> Result<()>) -> Result<()> {
        while turns.fetch_add(1, Ordering::Relaxed) < self.connections {
            one()?;
        }
        Ok(())
    }

    fn dial_one(&self, rig: &Rig<'_>, seen: &Mutex<BTreeSet<Pair>>) -> Result<()> {
        let stream = TcpStream::connect_timeout(&rig.listen(), Duration::from_secs(20))
            .context("dialling the gateway")?;
        let address = stream.local_addr()?;
        let end = self.end(rig, "downstream", stream)?;
        let (own, peers) = self.converse(rig, &end)?;
        note(seen, (own, peers));
        let closed = rig.log().closed(address)?;
        closed.ended("finished")?;
        closed.carried(end.sent(), end.received())?;
        closed.on_plane(rig.mount().plane())
    }

    fn accept_one(&self, rig: &Rig<'_>, seen: &Mutex<BTreeSet<Pair>>) -> Result<()> {
        let end = self.end(rig, "upstream", rig.accept()?)?;
        let (own, peers) = self.converse(rig, &end)?;
        note(seen, (peers, own));
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
        let mut peer = None;
        crate::together!(
            || {
                end.introduce(bytes)?;
                end.send_paced(bytes, pace)?;
                end.finish()
            },
            || {
                let introduction = end.meet()?;
                end.receive(introduction.bytes)?;
                end.receive_fin()?;
                peer = Some(introduction.seed);
                Ok(())
            },
        )?;
        let peer = peer.context("the peer did not introduce itself")?;
        Ok((end.outgoing().seed(), peer))
    }
}

fn note(seen: &Mutex<BTreeSet<Pair>>, pair: Pair) {
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(pair);
}
