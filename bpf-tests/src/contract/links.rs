//! Packets of other sizes: MTU 1500 and 9000, and links that neither segment nor aggregate, so that
//! every packet crosses by itself.

use std::time::Duration;

use anyhow::Result;

use crate::together;
use crate::topology::LinkOptions;
use crate::traffic::{Draw, Pace, SegmentSource};

use super::connection::Side;
use super::memory::settled;
use super::mount::Mount;
use super::setup::Setup;

/// Packets of 1500 bytes, segmented and aggregated by the links.
pub fn packets_of_1500_bytes_lose_nothing(mount: &Mount) -> Result<()> {
    crosses(mount, 1500, true)
}

/// Jumbo packets, segmented and aggregated by the links.
pub fn packets_of_9000_bytes_lose_nothing(mount: &Mount) -> Result<()> {
    crosses(mount, 9000, true)
}

/// Packets of 1500 bytes without GRO, GSO and TSO.
pub fn packets_of_1500_bytes_without_offloads_lose_nothing(mount: &Mount) -> Result<()> {
    crosses(mount, 1500, false)
}

/// Jumbo packets without GRO, GSO and TSO.
pub fn packets_of_9000_bytes_without_offloads_lose_nothing(mount: &Mount) -> Result<()> {
    crosses(mount, 9000, false)
}

/// A segment whose head was received before, as after a retransmission that was cut differently: the
/// head must not be delivered a second time.
pub fn a_segment_that_repeats_bytes_delivers_only_the_new_ones(mount: &Mount) -> Result<()> {
    let link = LinkOptions {
        mtu: 9000,
        ..LinkOptions::default()
    };
    let setup = Setup {
        link,
        ..Setup::default()
    };
    mount.with(&setup, |rig| {
        let connection = settled(rig)?;
        let [this, other] = connection.ends(Side::Downstream);
        let source = rig.at_producer(SegmentSource::new)??;
        connection.carry(Side::Downstream, 20_000)?;
        for (repeated, fresh) in [
            (1, 1),
            (50, 50),
            (1_400, 40),
            (1, 8_000),
            (8_000, 900),
            (5_000, 1),
        ] {
            rig.until("everything to be acknowledged", || {
                Ok(this.unacknowledged()? == 0)
            })?;
            source.repeat(this, repeated, fresh)?;
            // What arrived by the hand-made segment is old when its owner sends it.
            rig.until("the segment to be delivered", || {
                Ok(other.unread()? >= fresh)
            })?;
            this.send(fresh)?;
            other.receive(fresh)?;
            connection.carry(Side::Downstream, 700)?;
        }
        connection.carry(Side::Downstream, 2_000_000)?;
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}

/// Bulk both ways, then messages both ways, over links like these.
fn crosses(mount: &Mount, mtu: u32, offloads: bool) -> Result<()> {
    const BULK: u64 = 32_000_000;
    const DRIBBLE: u64 = 500_000;
    let link = LinkOptions {
        mtu,
        offloads,
        ..LinkOptions::default()
    };
    let setup = Setup {
        link,
        ..Setup::default()
    };
    mount.with(&setup, |rig| {
        let connection = rig.open()?;
        connection.exchange(BULK, BULK)?;
        let pace = || {
            let draw = Draw::new(mount.seed().derive());
            Pace::Random(draw, 5_000, Duration::from_micros(200))
        };
        let (down, up) = (&connection.downstream, &connection.upstream);
        together!(
            || down.send_paced(DRIBBLE, pace()),
            || up.receive(DRIBBLE),
            || up.send_paced(DRIBBLE, pace()),
            || down.receive(DRIBBLE),
        )?;
        connection.exchange(BULK, BULK)?;
        connection.finish(Side::Upstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}
