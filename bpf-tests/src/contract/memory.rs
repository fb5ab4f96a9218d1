//! A reader that stops: what the gateway has taken and not delivered stays bounded, and nothing of
//! it is lost when the reader goes on.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::gateway::Plane;
use crate::together;

use super::connection::{Connection, Side};
use super::mount::Mount;
use super::rig::Rig;
use super::setup::Setup;

/// What the gateway may hold beyond the buffers of its two sockets.
const ALLOWANCE_BYTES: u64 = 8_000_000;
/// What the sender tries to get rid of: several times any bound.
const PUSHED_BYTES: u64 = 256 << 20;
/// Pause between two looks at the queues.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// With the buffers that the kernel tunes by itself.
pub fn a_reader_that_stops_for_three_seconds_bounds_what_is_held(mount: &Mount) -> Result<()> {
    tuned_by_the_kernel(mount, Duration::from_secs(3))
}

/// With buffers of 1 MiB each, which makes the bound tight.
pub fn a_reader_that_stops_bounds_what_is_held_by_small_buffers(mount: &Mount) -> Result<()> {
    let setup = Setup::args("--sndbuf 1048576 --rcvbuf 1048576");
    // The kernel doubles what is asked for; that is what it then calls the buffer's size.
    let bound = 2 * (1 << 20) + 2 * (1 << 20) + ALLOWANCE_BYTES;
    stops_both_ways(mount, &setup, Duration::from_secs(1), bound)
}

pub(super) fn tuned_by_the_kernel(mount: &Mount, stop: Duration) -> Result<()> {
    stops_both_ways(mount, &Setup::default(), stop, bound()?)
}

/// sndbuf + rcvbuf + 8 MB, with buffers as large as the kernel lets them grow.
///
/// # Errors
/// When the kernel does not say.
pub fn bound() -> Result<u64> {
    Ok(largest("tcp_wmem")? + largest("tcp_rmem")? + ALLOWANCE_BYTES)
}

/// What the gateway held at most while the reader at `from`'s other end was stopped: bytes that the
/// gateway's kernel had acknowledged to the sender, less those that lay in the reader's own buffer.
///
/// The sender pushes until it is stuck, up to 256 MiB.
///
/// # Errors
/// When the sockets fail.
pub fn most_held(connection: &Connection, from: Side, stop: Duration) -> Result<u64> {
    let [sender, reader] = connection.ends(from);
    let start = sender.sent();
    let until = Instant::now() + stop;
    let mut most = 0;
    while Instant::now() < until {
        sender.offer(PUSHED_BYTES - (sender.sent() - start))?;
        // In this order what moves in between counts as held: the figure is never too small.
        let delivered = reader.received() + reader.unread()?;
        let taken = sender.sent() - sender.unacknowledged()?;
        most = most.max(taken.saturating_sub(delivered));
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(most)
}

/// Runs [`most_held`] on a fresh connection of a fresh gateway, without judging the result: for
/// those who want to see the bound broken.
///
/// # Errors
/// When the connection fails.
pub fn most_held_on(mount: &Mount, from: Side, stop: Duration) -> Result<u64> {
    let mut most = 0;
    mount.with(&Setup::default(), |rig| {
        let connection = settled(rig)?;
        most = most_held(&connection, from, stop)?;
        connection.downstream.reset()?;
        Ok(())
    })?;
    Ok(most)
}

/// Both directions at once, on a connection of their own each.
fn stops_both_ways(mount: &Mount, setup: &Setup, stop: Duration, bound: u64) -> Result<()> {
    mount.with(setup, |rig| {
        let connections = [settled(rig)?, settled(rig)?];
        let [one, other] = &connections;
        together!(|| stops(rig, one, Side::Downstream, stop, bound), || stops(
            rig,
            other,
            Side::Upstream,
            stop,
            bound
        ),)
    })
}

fn stops(
    rig: &Rig<'_>,
    connection: &Connection,
    from: Side,
    stop: Duration,
    bound: u64,
) -> Result<()> {
    let most = most_held(connection, from, stop)?;
    let [sender, reader] = connection.ends(from);
    let (sent, unread) = (sender.sent(), reader.unread()?);
    println!("{from:?}: held {most} of at most {bound} bytes; sent {sent}, {unread} unread");
    ensure!(
        most <= bound,
        "the gateway took {most} bytes that it had not delivered; sndbuf + rcvbuf + 8 MB is {bound}"
    );
    let rest = sender.sent() - reader.received();
    reader.receive(rest)?;
    connection.carry(from, 1_000_000)?;
    connection.finish(from)?;
    rig.settle(connection)?;
    Ok(())
}

/// A connection that has carried a few messages each way, so that the plane under test has it.
pub(super) fn settled(rig: &Rig<'_>) -> Result<Connection> {
    let connection = rig.open()?;
    for _ in 0..20 {
        connection.carry(Side::Downstream, 100)?;
        connection.carry(Side::Upstream, 100)?;
    }
    if rig.mount().plane() == Plane::Sockmap {
        // The hand-over may lag behind the first messages.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(connection)
}

/// The most that the kernel lets this kind of buffer grow to.
fn largest(sysctl: &str) -> Result<u64> {
    let triple = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{sysctl}"))?;
    let last = triple.split_whitespace().next_back().unwrap_or_default();
    Ok(last.parse()?)
}
