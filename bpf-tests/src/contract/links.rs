//! Packets of other sizes: MTU 1500 and 9000, and links that neither segment nor aggregate, so that
//! every packet crosses by itself.

use std::time::Duration;

use anyhow::Result;

use crate::together;
use crate::topology::LinkOptions;
use crate::traffic::{Draw, Pace};

use super::connection::Side;
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
