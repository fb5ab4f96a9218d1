//! What the downstream end does before the gateway has its upstream connection: the target's
//! listener leaves the SYN unanswered until the case lets it go.

use std::net::TcpStream;

use anyhow::{Result, ensure};

use crate::traffic::{Ending, Endpoint, Pattern, Task, together};

use super::mount::Mount;
use super::rig::Rig;
use super::setup::{Setup, Target};

/// Sizes of what comes early: one byte, the 37 that iperf3 begins with, more than one segment.
const EARLY_BYTES: [u64; 3] = [1, 37, (64 << 10) + 1];
/// What the upstream end answers.
const ANSWER_BYTES: u64 = 5_000;

/// Early bytes, with and without an early FIN behind them, arrive once the target answers.
pub fn bytes_before_the_upstream_connects_arrive(mount: &Mount) -> Result<()> {
    mount.with(&late(), |rig| {
        let early = EARLY_BYTES
            .map(|bytes| [(bytes, false), (bytes, true)])
            .concat();
        let ends = early
            .iter()
            .map(|&(bytes, finish)| speak_early(rig, bytes, finish));
        let ends = ends.collect::<Result<Vec<_>>>()?;
        rig.unanswered_dials(ends.len())?;
        rig.release_target()?;
        let hearing = ends
            .iter()
            .zip(&early)
            .map(|(end, &(bytes, finished))| -> Task<'_> {
                Box::new(move || be_answered(rig, end, bytes, finished))
            });
        let answering = ends
            .iter()
            .map(|_| -> Task<'_> { Box::new(|| answer(rig)) });
        together(hearing.chain(answering))
    })
}

/// More early bytes than the gateway's window holds: they wait in the sender and lose nothing.
pub fn more_early_bytes_than_a_window_arrive(mount: &Mount) -> Result<()> {
    const BYTES: u64 = 2 << 20;
    mount.with(&late(), |rig| {
        let end = downstream_end(rig, rig.dial()?)?;
        crate::together!(
            || {
                end.introduce(BYTES)?;
                end.send(BYTES)?;
                be_answered(rig, &end, 0, false)
            },
            || {
                rig.unanswered_dials(1)?;
                rig.release_target()?;
                answer(rig)
            },
        )
    })
}

/// A reset before the target answers: if the target hears of the connection at all, it hears the
/// reset, not a FIN that would make the truncated stream look whole.
pub fn a_reset_before_the_upstream_connects_is_no_fin(mount: &Mount) -> Result<()> {
    mount.with(&late(), |rig| {
        let end = speak_early(rig, 1_000, false)?;
        let address = end.address()?;
        rig.unanswered_dials(1)?;
        end.reset()?;
        rig.release_target()?;
        rig.log().gone(address)?;
        if let Some(stream) = rig.accept_if_there()? {
            let end = downstream_end(rig, stream)?;
            let ending = end.drain_to_end()?;
            ensure!(
                ending == Ending::Reset,
                "the upstream end saw {ending} after a reset"
            );
        }
        Ok(())
    })
}

fn late() -> Setup {
    Setup {
        target: Target::Late,
        ..Setup::default()
    }
}

/// Dials, and sends so much before anyone could read it.
fn speak_early(rig: &Rig<'_>, bytes: u64, finish: bool) -> Result<Endpoint> {
    let end = downstream_end(rig, rig.dial()?)?;
    end.introduce(bytes)?;
    end.send(bytes)?;
    if finish {
        end.finish()?;
    }
    rig.until("the gateway's kernel to have the early bytes", || {
        // A FIN is never acknowledged before the bytes in front of it; SIOCOUTQ leaves it out.
        Ok(end.unacknowledged()? == 0)
    })?;
    Ok(end)
}

/// The downstream end: goes on for a while, if it has not finished, and hears the answer.
fn be_answered(rig: &Rig<'_>, end: &Endpoint, early: u64, finished: bool) -> Result<()> {
    let answer = end.meet()?;
    end.receive(answer.bytes)?;
    end.receive_fin()?;
    if !finished {
        end.send(early)?;
        end.finish()?;
    }
    let closed = rig.log().closed(end.address()?)?;
    closed.ended("finished")?;
    closed.carried(end.sent(), end.received())?;
    closed.on_plane(rig.mount().plane())
}

/// The upstream end: hears what came early, answers, and hears the rest.
fn answer(rig: &Rig<'_>) -> Result<()> {
    let outgoing = Pattern::new(rig.mount().seed().derive());
    let end = rig.endpoint("upstream", rig.accept()?, [outgoing; 2])?;
    let early = end.meet()?;
    end.receive(early.bytes)?;
    end.introduce(ANSWER_BYTES)?;
    end.send(ANSWER_BYTES)?;
    end.finish()?;
    let ending = end.receive_to_end()?;
    ensure!(ending == Ending::Finished, "the upstream end saw {ending}");
    Ok(())
}

fn downstream_end(rig: &Rig<'_>, stream: TcpStream) -> Result<Endpoint> {
    let outgoing = Pattern::new(rig.mount().seed().derive());
    rig.endpoint("downstream", stream, [outgoing; 2])
}
