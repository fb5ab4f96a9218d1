//! What a dead side sent before it died is still delivered, within bounds: the peer would have got
//! it without a gateway in between, and a reset throws away what is not acknowledged.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::flow::{Flow, Read};
use super::leg::Leg;

/// How long the living side may take for no byte at all before it is reset with the rest unread.
const PROGRESS_GRACE: Duration = Duration::from_secs(1);

/// How often the send queue is looked at: nothing tells when it becomes empty.
const QUEUE_INTERVAL: Duration = Duration::from_millis(2);

/// Moves what is left in the receive queue of `dead` to `other`, and waits until `other` has
/// acknowledged it; gives up when nothing moves for the grace, or `other` breaks as well.
pub(super) async fn deliver(flow: &mut Flow<'_>, dead: &Leg, other: &Leg) {
    if !flow.is_finished() {
        empty_receive_queue(flow, dead, other).await;
    }
    wait_acknowledged(other).await;
}

async fn empty_receive_queue(flow: &mut Flow<'_>, dead: &Leg, other: &Leg) {
    // The receive queue of a dead socket ends in its error, or in 0 once that was reported.
    while let Ok(Read::Bytes) = flow.read(dead) {
        while flow.is_pending() {
            match flow.write(other) {
                Ok(true) => {}
                Ok(false) => {
                    let room = timeout(PROGRESS_GRACE, other.stream.writable()).await;
                    if !matches!(room, Ok(Ok(()))) {
                        return;
                    }
                }
                Err(_also_dead) => return,
            }
        }
    }
}

async fn wait_acknowledged(other: &Leg) {
    let mut left = other.unacknowledged();
    let mut quiet = Duration::ZERO;
    while left > 0 && quiet < PROGRESS_GRACE {
        sleep(QUEUE_INTERVAL).await;
        let now = other.unacknowledged();
        quiet = if now < left {
            Duration::ZERO
        } else {
            quiet + QUEUE_INTERVAL
        };
        left = now;
    }
}
