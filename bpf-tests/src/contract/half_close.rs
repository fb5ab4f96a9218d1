//! One direction ends while the other goes on, and a FIN keeps its place behind the bytes.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::together;
use crate::traffic::{Draw, Pace};

use super::connection::Side;
use super::mount::{Ground, Mount};
use super::setup::Setup;

/// What waits in front of the FIN.
const BACKLOG_BYTES: u64 = 20_000_000;

/// The downstream end finishes; the other direction goes on for hundreds of kilobytes.
pub fn the_upstream_end_goes_on_after_the_downstream_end_finished(mount: &Mount) -> Result<()> {
    the_other_end_goes_on(mount, Side::Downstream)
}

/// The upstream end finishes; the other direction goes on for hundreds of kilobytes.
pub fn the_downstream_end_goes_on_after_the_upstream_end_finished(mount: &Mount) -> Result<()> {
    the_other_end_goes_on(mount, Side::Upstream)
}

/// A FIN is the first thing that comes, before the hand-over perhaps; the other direction works.
pub fn a_fin_as_the_first_thing_ends_one_direction_only(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let [this, other] = connection.ends(side);
            this.finish()?;
            other.receive_fin()?;
            connection.carry(side.other(), 3_000_000)?;
            other.finish()?;
            this.receive_fin()?;
            rig.settle(&connection)?;
        }
        Ok(())
    })
}

/// A FIN in the middle of the other direction's bulk.
pub fn a_fin_does_not_disturb_the_other_directions_bulk(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let [this, other] = connection.ends(side);
            together!(
                || {
                    this.send(1_000_000)?;
                    this.finish()
                },
                || {
                    other.receive(1_000_000)?;
                    other.receive_fin()
                },
                || other.send(48_000_000),
                || this.receive(48_000_000),
            )?;
            other.finish()?;
            this.receive_fin()?;
            rig.settle(&connection)?;
        }
        Ok(())
    })
}

/// The FIN is sent while nothing has been read of what is in front of it.
pub fn a_fin_waits_behind_twenty_megabytes_of_backlog(mount: &Mount) -> Result<()> {
    // Buffers as large as the backlog, so that much of it, and the FIN, lie in the gateway.
    let setup = match mount.ground() {
        Ground::Loopback => Setup::default(),
        Ground::Routed => Setup::args("--sndbuf 8388608 --rcvbuf 16777216"),
    };
    mount.with(&setup, |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let [this, other] = connection.ends(side);
            if mount.ground() == Ground::Routed {
                // Takes all of it at once, so that the FIN is sent before the first read.
                this.force_send_buffer(2 * BACKLOG_BYTES as usize)?;
                this.send(BACKLOG_BYTES)?;
            } else {
                // Without privileges: as much as the buffers on the way take.
                this.offer_until_stuck(BACKLOG_BYTES)?;
            }
            this.finish()?;
            connection.carry(side.other(), 100_000)?;
            other.receive(this.sent())?;
            other.receive_fin()?;
            connection.carry(side.other(), 300_000)?;
            other.finish()?;
            this.receive_fin()?;
            rig.settle(&connection)?;
        }
        Ok(())
    })
}

/// The sender does not half-close but goes away altogether: what it sent is delivered all the same.
pub fn what_an_end_sent_before_it_closed_is_delivered(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            connection.exchange(10_000, 10_000)?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            this.offer_until_stuck(BACKLOG_BYTES)?;
            let (sent, digest) = (this.sent(), this.sent_digest());
            drop(this);
            other.receive(sent - other.received())?;
            other.receive_fin()?;
            ensure!(other.received_digest() == digest, "the hashes differ");
            other.finish()?;
            let closed = rig.log().closed(address)?;
            closed.ended("finished")?;
            match side {
                Side::Downstream => closed.carried(sent, 10_000)?,
                Side::Upstream => closed.carried(10_000, sent)?,
            }
            closed.on_plane(mount.plane())?;
        }
        Ok(())
    })
}

fn the_other_end_goes_on(mount: &Mount, first: Side) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connection = rig.open()?;
        let [this, other] = connection.ends(first);
        connection.carry(first, 100_000)?;
        this.finish()?;
        other.receive_fin()?;
        let pace = Pace::Random(
            Draw::new(mount.seed().derive()),
            4_000,
            Duration::from_micros(300),
        );
        together!(
            || {
                other.send_paced(700_000, pace)?;
                other.send(4_000_000)
            },
            || this.receive(4_700_000),
        )?;
        other.finish()?;
        this.receive_fin()?;
        rig.settle(&connection)?;
        Ok(())
    })
}
