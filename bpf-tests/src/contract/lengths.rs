//! Equal bytes in order, from none to 16 MiB, whoever speaks first. (2 GiB: `big`.)

use anyhow::Result;

use crate::together;
use crate::topology::Family;

use super::connection::Side;
use super::memory::settled;
use super::mount::Mount;
use super::setup::Setup;

/// Nothing is sent: only the FINs pass.
pub fn a_connection_without_a_byte_finishes(mount: &Mount) -> Result<()> {
    each_way(mount, &Setup::default(), 0)
}

/// The smallest stream.
pub fn one_byte_arrives_each_way(mount: &Mount) -> Result<()> {
    each_way(mount, &Setup::default(), 1)
}

/// One message.
pub fn one_kibibyte_arrives_each_way(mount: &Mount) -> Result<()> {
    each_way(mount, &Setup::default(), 1 << 10)
}

/// One byte more than a pipe holds by default, and than the largest segment that a link offloads.
pub fn sixty_four_kibibytes_and_one_byte_arrive_each_way(mount: &Mount) -> Result<()> {
    each_way(mount, &Setup::default(), (64 << 10) + 1)
}

/// More than any buffer on the way holds at first.
pub fn sixteen_mebibytes_arrive_each_way(mount: &Mount) -> Result<()> {
    each_way(mount, &Setup::default(), 16 << 20)
}

/// The other address family.
pub fn sixteen_mebibytes_arrive_each_way_over_ipv6(mount: &Mount) -> Result<()> {
    let setup = Setup {
        family: Family::V6,
        ..Setup::default()
    };
    each_way(mount, &setup, 16 << 20)
}

/// Urgent data keep their place between the other bytes, and none is skipped.
pub fn an_urgent_byte_arrives_in_its_place(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = settled(rig)?;
            let [this, other] = connection.ends(side);
            for around in [1, 1_000, 200_000] {
                together!(
                    || {
                        this.send(around)?;
                        this.send_urgent()?;
                        this.send(around)
                    },
                    || other.receive(2 * around + 1),
                )?;
            }
            connection.finish(side)?;
            rig.settle(&connection)?;
        }
        Ok(())
    })
}

/// So many bytes each way: the downstream end first, the upstream end first, both at once.
pub(super) fn each_way(mount: &Mount, setup: &Setup, bytes: u64) -> Result<()> {
    mount.with(setup, |rig| {
        for first in Side::BOTH {
            let connection = rig.open()?;
            connection.carry(first, bytes)?;
            connection.carry(first.other(), bytes)?;
            connection.finish(first)?;
            rig.settle(&connection)?;
        }
        let connection = rig.open()?;
        connection.exchange(bytes, bytes)?;
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}
