//! Bytes that arrive while the gateway takes a pair of sockets over, or moves it from one plane to
//! another: thousands of connections that dribble from their first microsecond on.

use std::time::Duration;

use anyhow::Result;

use super::crowd::Crowd;
use super::mount::Mount;
use super::setup::Setup;

/// Both ends send at random small times from the moment they are connected.
pub fn bytes_around_the_hand_over_are_kept(mount: &Mount) -> Result<()> {
    let dribbling = Crowd {
        connections: 2_000,
        at_once: 8,
        bytes: (0, 6_000),
        dribble: Some((600, Duration::from_micros(150))),
    };
    mount.with(&Setup::default(), |rig| dribbling.run(rig))
}

/// Fewer connections whose bytes come in larger parts, so that the hand-over meets half-read
/// queues and segments that are still arriving.
pub fn segments_around_the_hand_over_are_kept(mount: &Mount) -> Result<()> {
    let bursting = Crowd {
        connections: 300,
        at_once: 6,
        bytes: (50_000, 400_000),
        dribble: Some((60_000, Duration::from_micros(300))),
    };
    mount.with(&Setup::default(), |rig| bursting.run(rig))
}
