//! `bench scale`: what more streams and more connections cost.
//!
//! ```text
//!   1, 8, 32, 128 streams        16 KiB messages, 1 Gb/s among all of them
//!   1k, 10k, 50k connections     quiet; then each says eight bytes every ten seconds
//! ```
//!
//! The total rate of the streams is the same, so what grows is what a stream costs and not what a
//! byte costs.

use std::time::Duration;

use super::lab::{Suite, Usual, Wanted, group};
use super::net::Net;
use super::scene::{Load, Regime, Setting};
use super::session::Visit;
use super::subject::Subject;

/// Streams at once.
const STREAMS: [u32; 4] = [1, 8, 32, 128];
/// Connections at once.
const CONNECTIONS: [u32; 3] = [1_000, 10_000, 50_000];
/// Those of `--quick`.
const QUICK_CONNECTIONS: [u32; 2] = [1_000, 5_000];

/// How long streams are measured.
const STREAMS_FOR: Duration = Duration::from_secs(2);
/// How long connections are: some whole seconds must lie in it.
const CONNECTIONS_FOR: Duration = Duration::from_secs(4);

/// The suite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale;

impl Suite for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn usual(&self, quick: bool) -> Usual {
        let few = vec![Subject::NoProxy, Subject::Auto];
        let (repeats, minutes, subjects) = if quick {
            (3, 5, few)
        } else {
            (
                5,
                30,
                [few, vec![Subject::Splice, Subject::Haproxy]].concat(),
            )
        };
        Usual {
            repeats,
            minutes,
            subjects,
            nets: vec![Net::One],
            regimes: vec![Regime::CpuBound],
        }
    }

    fn visits(&self, wanted: &Wanted) -> Vec<Vec<Visit>> {
        let connections: &[u32] = if wanted.quick {
            &QUICK_CONNECTIONS
        } else {
            &CONNECTIONS
        };
        let is_wanted = |count: &u32| wanted.counts.is_empty() || wanted.counts.contains(count);
        let streams = STREAMS.into_iter().filter(is_wanted);
        let streams = streams.map(|count| (vec![Load::Streams { count }], STREAMS_FOR));
        let crowds = connections.iter().copied().filter(is_wanted).map(|count| {
            let loads = vec![Load::Idle { count }, Load::Trickle { count }];
            (loads, CONNECTIONS_FOR)
        });
        let mut groups = Vec::new();
        for (loads, duration) in streams.chain(crowds) {
            for &net in &wanted.nets {
                let ground = wanted.ground(Regime::CpuBound, net, Setting::Tuned);
                groups.push(group(ground, &wanted.subjects, &loads, duration));
            }
        }
        groups
    }

    fn settings(&self) -> Vec<String> {
        vec![
            "Streams: 16 KiB messages at 1 Gb/s among all streams, open loop; delays of all streams together; CPU by the meter in a second pass.".to_owned(),
            "Connections: opened one after the other, each with eight bytes there and back; quiet for 4 s after 2 s to settle; then eight bytes there and back on each every 10 s. The latency is the round trip of the median second. Memory is what the relays' processes (proportional set size) and the kernel (slabs and stacks, for both ends and the relay) hold beyond what they held before the first connection.".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::lab;

    #[test]
    fn a_full_run_and_a_quick_one_fit_into_their_time() {
        lab::fits_into_its_time(&Scale);
    }
}
