//! An RST of one end reaches the other as an RST; what came before it and was delivered stays
//! readable, and what is read is a correct beginning of the stream.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::together;
use crate::traffic::{Ending, Endpoint};

use super::connection::Side;
use super::mount::Mount;
use super::setup::Setup;

/// Sent before a reset, at the least.
const IN_FLIGHT_BYTES: u64 = 24_000_000;
/// More than an end that is reset can ever get rid of.
const ENDLESS_BYTES: u64 = 4 << 30;

/// The end that resets is sending bulk: the reader sees a correct beginning, then the RST.
pub fn a_reset_with_data_in_flight_reaches_the_reader(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            together!(
                move || {
                    this.send(IN_FLIGHT_BYTES)?;
                    this.reset()
                },
                || sees_the_reset(&other),
            )?;
            rig.cut_off(address, side.reset_reason())?;
        }
        Ok(())
    })
}

/// The end that resets is being sent to: the writer sees the RST.
pub fn a_reset_with_data_in_flight_reaches_the_writer(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            together!(
                move || {
                    this.receive(IN_FLIGHT_BYTES)?;
                    this.reset()
                },
                || other.send_until_reset(ENDLESS_BYTES),
            )?;
            rig.cut_off(address, side.reset_reason())?;
        }
        Ok(())
    })
}

/// The reader sleeps, so that every buffer on the way is full when the RST comes.
pub fn a_reset_behind_a_backlog_reaches_a_reader_that_sleeps(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            other.set_receive_buffer(64 << 10)?;
            this.offer_until_stuck(3 * IN_FLIGHT_BYTES)?;
            this.reset()?;
            rig.cut_off(address, side.reset_reason())?;
            sees_the_reset(&other)?;
        }
        Ok(())
    })
}

/// What lies in the reader's own buffer when the RST comes can still be read.
pub fn bytes_delivered_before_a_reset_stay_readable(mount: &Mount) -> Result<()> {
    const BYTES: u64 = 30_000;
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            this.send(BYTES)?;
            rig.until("the bytes to be delivered", || Ok(other.unread()? == BYTES))?;
            this.reset()?;
            rig.cut_off(address, side.reset_reason())?;
            other.receive(BYTES)?;
            sees_the_reset(&other)?;
        }
        Ok(())
    })
}

/// Nothing moves, nothing waits: only the RST passes.
pub fn a_reset_of_a_quiet_connection_reaches_the_other_end(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            connection.exchange(5_000, 5_000)?;
            // Long enough for a plane to have settled into waiting; nothing depends on it.
            thread::sleep(Duration::from_millis(20));
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            this.reset()?;
            sees_the_reset(&other)?;
            rig.cut_off(address, side.reset_reason())?;
        }
        Ok(())
    })
}

/// One direction has ended well; the end that finished it resets while the other still sends.
pub fn a_reset_after_a_fin_reaches_the_writer(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            this.send(5_000)?;
            this.finish()?;
            other.receive(5_000)?;
            other.receive_fin()?;
            together!(
                move || {
                    this.receive(1_000_000)?;
                    this.reset()
                },
                || other.send_until_reset(ENDLESS_BYTES),
            )?;
            rig.cut_off(address, side.reset_reason())?;
        }
        Ok(())
    })
}

/// One direction has ended well; the end that received that FIN resets what it was sending.
pub fn a_reset_by_the_end_that_received_the_fin_reaches_the_reader(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        for side in Side::BOTH {
            let connection = rig.open()?;
            let address = connection.address;
            let [this, other] = connection.into_ends(side);
            other.send(5_000)?;
            other.finish()?;
            this.receive(5_000)?;
            this.receive_fin()?;
            together!(
                move || {
                    this.send(1_000_000)?;
                    this.reset()
                },
                || sees_the_reset(&other),
            )?;
            rig.cut_off(address, side.reset_reason())?;
        }
        Ok(())
    })
}

fn sees_the_reset(end: &Endpoint) -> Result<()> {
    let ending = end.receive_to_end()?;
    let at = end.received();
    ensure!(
        ending == Ending::Reset,
        "the reader saw {ending} at byte {at} instead of an RST"
    );
    Ok(())
}
