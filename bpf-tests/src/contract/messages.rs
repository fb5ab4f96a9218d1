//! Message-like flows, which the kernel is to move by itself where the plane can, and flows that
//! change their nature on the way.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::gateway::Plane;
use crate::patience::stretched;
use crate::together;
use crate::traffic::Pace;

use super::connection::{Connection, Side};
use super::footprint::wake_ups;
use super::memory::settled;
use super::mount::{Ground, Mount};
use super::rig::Rig;
use super::setup::Setup;

/// One message.
const MESSAGE_BYTES: u64 = 1 << 10;
/// From one message to the next.
const MESSAGE_INTERVAL: Duration = Duration::from_micros(100);
/// How long messages may flow until the kernel moves them.
const TAKE_OVER_PATIENCE: Duration = Duration::from_secs(20);

/// Messages, then bulk, then nothing, then messages and bulk again, both ways.
pub fn messages_turn_bulk_stop_and_go_on(mount: &Mount) -> Result<()> {
    mount.with(&Setup::args("--stats-interval 100ms"), |rig| {
        let connection = rig.open()?;
        until_the_kernel_moves_them(rig, &connection)?;
        connection.exchange(64_000_000, 64_000_000)?;
        // A silence that a plane may take for a reason to change; nothing depends on its length.
        thread::sleep(Duration::from_millis(300));
        exchange_messages(&connection, 500)?;
        connection.exchange(16_000_000, 16_000_000)?;
        ping_pong(&connection, 500)?;
        connection.finish(Side::Upstream)?;
        let closed = rig.settle(&connection)?;
        if kernel_can(mount) {
            closed.redirected_both_ways()?;
        }
        Ok(())
    })
}

/// Messages from many connections that turn bulk at different times: each change of plane meets
/// bytes under way.
pub fn flows_that_change_at_random_lose_nothing(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let connections = (0..6).map(|_| rig.open()).collect::<Result<Vec<_>>>()?;
        let changing = connections
            .iter()
            .map(|connection| -> crate::traffic::Task<'_> {
                Box::new(|| {
                    let mut draw = crate::traffic::Draw::new(mount.seed().derive());
                    for _ in 0..12 {
                        match draw.within(0..3) {
                            0 => ping_pong(connection, draw.within(1..800))?,
                            1 => exchange_messages(connection, draw.within(1..1_500))?,
                            _ => {
                                let bytes = [draw.within(0..6_000_000), draw.within(0..6_000_000)];
                                connection.exchange(bytes[0], bytes[1])?;
                            }
                        }
                    }
                    connection.finish(Side::BOTH[draw.within(0..2) as usize])?;
                    rig.settle(connection)?;
                    Ok(())
                })
            });
        crate::traffic::together(changing)
    })
}

/// Streams that come in without pause, as fast as a link of 5 Gb/s, and stop: a plane that gathers
/// them before it moves them must not keep the last of it.
pub fn the_tail_of_a_stream_does_not_wait_for_more(mount: &Mount) -> Result<()> {
    const SEGMENT_BYTES: u64 = 64 << 10;
    const SEGMENT_INTERVAL: Duration = Duration::from_micros(105);
    mount.with(&Setup::default(), |rig| {
        let connection = rig.open()?;
        for tail in [1, 1_000, 65_535, 200_000] {
            for side in Side::BOTH {
                let [from, to] = connection.ends(side);
                let bytes = 400 * SEGMENT_BYTES + tail;
                let pace = Pace::Every(SEGMENT_BYTES, SEGMENT_INTERVAL);
                together!(|| from.send_paced(bytes, pace), || to.receive(bytes))?;
            }
        }
        connection.finish(Side::Downstream)?;
        rig.settle(&connection)?;
        Ok(())
    })
}

/// A connection on which nothing moves costs no thread a wake-up.
pub fn a_quiet_connection_wakes_nobody(mount: &Mount) -> Result<()> {
    mount.with(&Setup::default(), |rig| {
        let process = rig
            .relay()
            .process_id()
            .context("wake-ups are counted of processes, and the relay is none")?;
        let connections = (0..20).map(|_| settled(rig)).collect::<Result<Vec<_>>>()?;
        // Let what the messages set off come to rest; what is measured begins after it.
        thread::sleep(Duration::from_millis(500));
        let before = wake_ups(process)?;
        thread::sleep(Duration::from_secs(1));
        let woken = wake_ups(process)? - before;
        // A clock that ticks a few times a second for all connections together is no wake-up of
        // a connection.
        ensure!(
            woken <= 15,
            "20 quiet connections woke threads {woken} times in a second"
        );
        for connection in &connections {
            connection.finish(Side::Downstream)?;
            rig.settle(connection)?;
        }
        Ok(())
    })
}

/// Messages that the kernel moves cost no thread a wake-up. For planes that can.
pub fn messages_moved_by_the_kernel_wake_nobody(mount: &Mount) -> Result<()> {
    const MESSAGES: u64 = 3_000;
    mount.with(&Setup::default(), |rig| {
        let process = rig
            .relay()
            .process_id()
            .context("wake-ups are counted of processes, and the relay is none")?;
        let connection = settled(rig)?;
        ping_pong(&connection, 200)?;
        let before = wake_ups(process)?;
        ping_pong(&connection, MESSAGES)?;
        let woken = wake_ups(process)? - before;
        connection.finish(Side::Downstream)?;
        let closed = rig.settle(&connection)?;
        closed.redirected_both_ways()?;
        ensure!(
            woken <= MESSAGES / 50,
            "{MESSAGES} messages each way woke threads {woken} times: {:?}",
            closed.record
        );
        Ok(())
    })
}

/// Sends messages both ways until the gateway says that the kernel moves bytes, where it can.
fn until_the_kernel_moves_them(rig: &Rig<'_>, connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + stretched(TAKE_OVER_PATIENCE);
    loop {
        exchange_messages(connection, 1_000)?;
        ping_pong(connection, 200)?;
        if !kernel_can(rig.mount()) {
            return Ok(());
        }
        let stats = rig.log().lines_so_far("stats");
        let redirected = stats
            .last()
            .map_or(Ok(0), |line| line.count("redirected"))?;
        // Of 1,000 messages and more each way: enough for either direction to be in it.
        if redirected > 2_000 * MESSAGE_BYTES {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "after {:?} of messages the kernel moves {redirected} bytes",
            stretched(TAKE_OVER_PATIENCE)
        );
    }
}

/// Messages both ways at once, each at its own time.
fn exchange_messages(connection: &Connection, messages: u64) -> Result<()> {
    let Connection {
        downstream,
        upstream,
        ..
    } = connection;
    let bytes = messages * MESSAGE_BYTES;
    let pace = || Pace::Every(MESSAGE_BYTES, MESSAGE_INTERVAL);
    together!(
        || downstream.send_paced(bytes, pace()),
        || upstream.receive(bytes),
        || upstream.send_paced(bytes, pace()),
        || downstream.receive(bytes),
    )
}

/// A message, its answer, the next message.
fn ping_pong(connection: &Connection, messages: u64) -> Result<()> {
    let Connection {
        downstream,
        upstream,
        ..
    } = connection;
    together!(
        || {
            for _ in 0..messages {
                downstream.send(MESSAGE_BYTES)?;
                downstream.receive(MESSAGE_BYTES)?;
            }
            Ok(())
        },
        || {
            for _ in 0..messages {
                upstream.receive(MESSAGE_BYTES)?;
                upstream.send(MESSAGE_BYTES)?;
            }
            Ok(())
        },
    )
}

/// Whether the kernel must move messages under this mount.
fn kernel_can(mount: &Mount) -> bool {
    mount.ground() == Ground::Routed && matches!(mount.plane(), Plane::Auto | Plane::Sockmap)
}
