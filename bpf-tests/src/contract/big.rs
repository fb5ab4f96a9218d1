//! The cases that take long: the same promises at full size.

use std::time::Duration;

use anyhow::Result;

use super::connection::Side;
use super::memory::tuned_by_the_kernel;
use super::mount::Mount;
use super::setup::Setup;
use super::stalls::zero_window;

/// 2 GiB each way at once.
pub fn two_gibibytes_arrive_each_way(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connection = rig.open()?;
        connection.exchange(2 << 30, 2 << 30)?;
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}

/// A window that stays shut for 30 s.
pub fn a_zero_window_of_thirty_seconds_loses_nothing(mount: &Mount) -> Result<()> {
    zero_window(mount, Duration::from_secs(30))
}

/// A reader that stops for 10 s.
pub fn a_reader_that_stops_for_ten_seconds_bounds_what_is_held(mount: &Mount) -> Result<()> {
    tuned_by_the_kernel(mount, Duration::from_secs(10))
}
