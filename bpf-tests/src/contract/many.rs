//! Many connections, at once and one after the other, and what is left of them.

use anyhow::{Context, Result};

use crate::gateway::Plane;

use super::connection::Side;
use super::crowd::Crowd;
use super::footprint::Footprint;
use super::memory::settled;
use super::mount::{Ground, Mount};
use super::rig::Rig;
use super::setup::Setup;

/// What the memory of the gateway may grow by over 20,000 connections: less than 1 KiB each, and
/// about what an allocator keeps by itself.
const MEMORY_SLACK_BYTES: u64 = 12 << 20;

/// Sockets that the gateway may keep ready for the next connections.
const PREPARED_SOCKETS: u64 = 2;

/// 200 connections that all move bytes both ways at the same time.
pub fn two_hundred_connections_at_once_are_kept_apart(mount: &Mount) -> Result<()> {
    let crowd = Crowd {
        connections: 200,
        at_once: 200,
        bytes: (100_000, 900_000),
        dribble: None,
    };
    mount.with(&Setup::default(), |rig| crowd.run(rig))
}

/// 20,000 short connections in a row: descriptors, pipes, sockets, threads and memory are then
/// where they were.
pub fn twenty_thousand_short_connections_leave_nothing_behind(mount: &Mount) -> Result<()> {
    let short = |connections| Crowd {
        connections,
        at_once: 2,
        bytes: (0, 2_000),
        dribble: None,
    };
    mount.with(&Setup::default(), |rig| {
        let process = rig
            .relay()
            .process_id()
            .context("a stand-in has no process")?;
        let fresh = Footprint::of(process)?;
        map_entries_are_seen(rig, process, &fresh)?;
        // What the first connections leave behind is kept for the next: pipes in the pool, say.
        short(500).run(rig)?;
        let mut before = fresh;
        let gone = rig.until("the first connections to be gone", || {
            before = Footprint::of(process)?;
            Ok(before.sockets <= fresh.sockets + PREPARED_SOCKETS
                && before.entries <= fresh.entries)
        });
        gone.with_context(|| format!("it held {fresh} and then {before}"))?;
        short(20_000).run(rig)?;
        is_back(rig, process, &before)
    })
}

/// An open connection must show in the figure that is to be back later, or it would prove nothing.
fn map_entries_are_seen(rig: &Rig<'_>, process: u32, fresh: &Footprint) -> Result<()> {
    if rig.mount().plane() != Plane::Sockmap {
        return Ok(());
    }
    let connection = settled(rig)?;
    rig.until("an open connection's map entries to be seen", || {
        Ok(Footprint::of(process)?.entries > fresh.entries)
    })?;
    connection.finish(Side::Downstream)?;
    rig.settle(&connection)?;
    Ok(())
}

fn is_back(rig: &Rig<'_>, process: u32, before: &Footprint) -> Result<()> {
    // Over loopback the sockets of this process, and of other tests, are in the same count.
    let own_network = rig.mount().ground() == Ground::Routed;
    let mut after = *before;
    let back = rig.until("everything to be given back", || {
        after = Footprint::of(process)?;
        Ok(after.descriptors <= before.descriptors
            && after.pipes <= before.pipes
            && after.sockets <= before.sockets
            && after.entries <= before.entries
            && after.threads <= before.threads
            && after.memory <= before.memory + MEMORY_SLACK_BYTES
            && (after.tcp_sockets <= before.tcp_sockets || !own_network))
    });
    println!("before: {before}\nafter:  {after}");
    back.with_context(|| format!("it held {before} and then {after}"))
}
