//! Readers that pause, read slowly or not at all: nothing is lost, nothing deadlocks that would not
//! deadlock without a gateway.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::gateway::Plane;
use crate::together;
use crate::traffic::Stalls;

use super::connection::{Connection, Side};
use super::memory::{most_held, settled};
use super::mount::{Ground, Mount};
use super::rig::Rig;
use super::setup::Setup;

/// Both readers pause for 60 ms every 4 MB, again and again: each pause fills the buffers and turns
/// the verdict from redirecting to passing, each resumption turns it back.
pub fn sixty_millisecond_stalls_lose_nothing(mount: &Mount) -> Result<()> {
    const BYTES: u64 = 200_000_000;
    let stalls = Stalls {
        every: 4_000_000,
        pause: Duration::from_millis(60),
    };
    mount.with(&Setup::default(), |rig| {
        let connection = settled(rig)?;
        for end in [&connection.downstream, &connection.upstream] {
            // Small enough for a pause to be felt.
            end.set_receive_buffer(512 << 10)?;
        }
        stall_both_ways(&connection, BYTES, stalls)?;
        connection.finish(Side::Downstream)?;
        let closed = rig.settle(&connection)?;
        let always_redirects = mount.plane() == Plane::Sockmap && mount.ground() == Ground::Routed;
        if always_redirects {
            closed.redirected_both_ways()?;
            ensure!(
                closed
                    .directions()
                    .iter()
                    .all(|direction| direction.flips > 0),
                "the stalls turned no verdict: {:?}",
                closed.record
            );
        }
        Ok(())
    })
}

/// Stalls with a send buffer of 64 kB at the gateway: there is hardly ever room to redirect into.
pub fn a_send_buffer_of_64_kilobytes_loses_nothing(mount: &Mount) -> Result<()> {
    let stalls = Stalls {
        every: 2_000_000,
        pause: Duration::from_millis(10),
    };
    mount.with(&Setup::args("--sndbuf 65536"), |rig| {
        let connection = settled(rig)?;
        stall_both_ways(&connection, 40_000_000, stalls)?;
        connection.finish(Side::Upstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}

/// The downstream end writes without reading while the upstream end sends.
pub fn a_downstream_end_that_does_not_read_can_write(mount: &Mount) -> Result<()> {
    writes_without_reading(mount, Side::Downstream)
}

/// The upstream end writes without reading while the downstream end sends.
pub fn an_upstream_end_that_does_not_read_can_write(mount: &Mount) -> Result<()> {
    writes_without_reading(mount, Side::Upstream)
}

/// A window that stays shut for 3 s, in both directions.
pub fn a_zero_window_of_three_seconds_loses_nothing(mount: &Mount) -> Result<()> {
    zero_window(mount, Duration::from_secs(3))
}

/// Both ends send until every buffer in both directions is full, and only then read.
pub fn both_ends_fill_every_buffer_before_they_read(mount: &Mount) -> Result<()> {
    const MOST: u64 = 256 << 20;
    mount.with(&Setup::default(), |rig| {
        let connection = settled(rig)?;
        let Connection {
            downstream,
            upstream,
            ..
        } = &connection;
        together!(|| downstream.offer_until_stuck(MOST).map(drop), || upstream
            .offer_until_stuck(MOST)
            .map(drop),)?;
        together!(
            || downstream.receive(upstream.sent() - downstream.received()),
            || upstream.receive(downstream.sent() - upstream.received()),
        )?;
        connection.exchange(4_000_000, 4_000_000)?;
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}

pub(super) fn zero_window(mount: &Mount, shut: Duration) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connections = [settled(rig)?, settled(rig)?];
        let [one, other] = &connections;
        together!(
            || shuts_the_window(rig, one, Side::Downstream, shut),
            || shuts_the_window(rig, other, Side::Upstream, shut),
        )
    })
}

fn shuts_the_window(
    rig: &Rig<'_>,
    connection: &Connection,
    from: Side,
    shut: Duration,
) -> Result<()> {
    let [sender, reader] = connection.ends(from);
    most_held(connection, from, shut)?;
    let taken = sender.offer(1)?;
    ensure!(
        taken == 0,
        "the window was not shut: the sender could still send"
    );
    reader.receive(sender.sent() - reader.received())?;
    connection.carry(from, 4_000_000)?;
    connection.carry(from.other(), 4_000_000)?;
    connection.finish(from)?;
    rig.settle(connection)?;
    Ok(())
}

fn stall_both_ways(connection: &Connection, bytes: u64, stalls: Stalls) -> Result<()> {
    let Connection {
        downstream,
        upstream,
        ..
    } = connection;
    together!(
        || downstream.send(bytes),
        || upstream.receive_stalling(bytes, stalls),
        || upstream.send(bytes),
        || downstream.receive_stalling(bytes, stalls),
    )
}

/// Head of line: the data that the writer does not read fills every buffer towards it, which must
/// not keep back what it writes.
fn writes_without_reading(mount: &Mount, writer: Side) -> Result<()> {
    const WRITTEN: u64 = 256_000_000;
    const ANSWERED: u64 = 64_000_000;
    mount.with(&Setup::default(), |rig| {
        let connection = settled(rig)?;
        let [this, other] = connection.ends(writer);
        together!(
            || {
                this.send(WRITTEN)?;
                this.receive(ANSWERED)
            },
            || other.send(ANSWERED),
            || other.receive(WRITTEN),
        )?;
        connection.finish(writer)?;
        rig.settle(&connection)?;
        Ok(())
    })
}
