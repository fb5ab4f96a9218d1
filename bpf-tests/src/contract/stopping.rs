//! The gateway ends, or ends a connection: who hears of it, and what still gets through.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::together;
use crate::traffic::{Ending, Pace, Pattern};

use super::connection::Side;
use super::memory::{most_held, settled};
use super::mount::Mount;
use super::setup::{Setup, Target};

/// SIGKILL while every buffer is full: both ends see an RST, so that the reader cannot take the
/// beginning that it got for the whole stream.
pub fn a_killed_gateway_leaves_nobody_hanging(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connections = [settled(rig)?, settled(rig)?];
        for (connection, from) in connections.iter().zip(Side::BOTH) {
            let [_sender, reader] = connection.ends(from);
            reader.set_receive_buffer(64 << 10)?;
            most_held(connection, from, Duration::from_millis(300))?;
        }
        rig.kill()?;
        for (connection, from) in connections.iter().zip(Side::BOTH) {
            let [sender, reader] = connection.ends(from);
            let ending = reader.receive_to_end()?;
            let at = reader.received();
            ensure!(
                ending == Ending::Reset,
                "the reader saw {ending} at byte {at}, mid-stream"
            );
            sender.send_until_reset(4 << 30)?;
        }
        Ok(())
    })
}

/// SIGTERM: no new connection, but what is under way goes on to its end.
pub fn a_stream_finishes_while_the_gateway_drains(mount: &Mount) -> Result<()> {
    mount.with(&Setup::args("--drain-timeout 60s"), |rig| {
        let connection = settled(rig)?;
        rig.relay().signal(Signal::TERM)?;
        rig.log().line("draining", |_| true)?;
        let listen = rig.listen();
        rig.until("new connections to be refused", || {
            rig.at_producer(|| TcpStream::connect(listen).is_err())
        })?;
        connection.exchange(32_000_000, 32_000_000)?;
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        rig.log().line("stopped", |_| true)?;
        Ok(())
    })
}

/// What has not finished when the drain time is over is closed, and both ends hear of it.
pub fn what_does_not_finish_is_closed_when_the_drain_time_is_over(mount: &Mount) -> Result<()> {
    mount.with(&Setup::args("--drain-timeout 500ms"), |rig| {
        let connection = settled(rig)?;
        rig.relay().signal(Signal::TERM)?;
        connection.downstream.receive_to_end()?;
        connection.upstream.receive_to_end()?;
        rig.cut_off(connection.address, "drain_timeout")?;
        rig.log().line("stopped", |_| true)?;
        Ok(())
    })
}

/// Nothing listens at the target: the downstream end is reset at once, and the log says why.
pub fn a_target_that_refuses_resets_the_downstream_end(mount: &Mount) -> Result<()> {
    let setup = Setup {
        target: Target::Absent,
        ..Setup::default()
    };
    mount.with(&setup, |rig| {
        match rig.try_dial()? {
            // The RST may come before the dialling end has looked at its SYN's answer.
            Err(error) => ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}"),
            Ok(stream) => {
                let pattern = Pattern::new(mount.seed().derive());
                let ending = rig
                    .endpoint("downstream", stream, [pattern; 2])?
                    .receive_to_end()?;
                ensure!(
                    ending == Ending::Reset,
                    "the downstream end saw {ending} instead of an RST"
                );
            }
        }
        let refused = rig.log().line("connection refused", |_| true)?;
        ensure!(
            refused.text("reason")? == "upstream_unreachable",
            "{refused:?}"
        );
        ensure!(!refused.text("error")?.is_empty(), "{refused:?}");
        Ok(())
    })
}

/// An idle connection ends at its time; one that moves bytes, by whatever means, does not.
pub fn only_an_idle_connection_times_out(mount: &Mount) -> Result<()> {
    mount.with(&Setup::args("--idle-timeout 1s"), |rig| {
        let [idle, busy] = [settled(rig)?, settled(rig)?];
        together!(
            || {
                let pace = Pace::Every(100, Duration::from_millis(50));
                busy.downstream.send_paced(5_000, pace)
            },
            || busy.upstream.receive(5_000),
            || {
                idle.downstream.receive_to_end()?;
                idle.upstream.receive_to_end()?;
                rig.cut_off(idle.address, "idle_timeout")?;
                Ok(())
            },
        )?;
        busy.finish(Side::Upstream)?;
        rig.settle(&busy)?;
        Ok(())
    })
}

/// The target's host is gone from one moment to the next: its kernel answers with an RST when the
/// process dies with bytes unread.
pub fn a_target_that_dies_mid_stream_resets_the_downstream_end(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connection = settled(rig)?;
        let address = connection.address;
        let [upstream, downstream] = connection.into_ends(Side::Upstream);
        together!(
            move || {
                // Bytes must lie unread when the socket is closed, as by the death of its owner.
                while upstream.unread()? == 0 {
                    thread::yield_now();
                }
                drop(upstream);
                Ok(())
            },
            || downstream.send_until_reset(4 << 30),
        )?;
        rig.cut_off(address, "upstream_reset")?;
        Ok(())
    })
}
