//! `bench fabric`: two gateways at INDIS'22's five distances.
//!
//! ```text
//!   link-bound            all subjects    512 B ... 1 MiB flat out, 16 KiB paced
//!   link-bound, 0.01 %    few subjects    64 KiB flat out, from 24 ms on
//!   ..., as installed     few subjects    64 KiB flat out, from 58 ms on
//!   CPU-bound             few subjects    64 KiB flat out, metered
//! ```

use std::time::Duration;

use super::lab::{Suite, Usual, Wanted, group, those};
use super::net::Net;
use super::scene::{Load, Regime, Setting};
use super::session::{LOSSY_WARM_UP, PACED_FOR, Visit, WARM_UP_TRIPS};
use super::subject::Subject;

/// Message sizes of a full run, bytes: that of the warm-up first, because each change waits until what
/// the path holds has arrived.
const SIZES: [u32; 4] = [65_536, 1 << 20, 4_096, 512];
/// Those of `--quick`.
const QUICK_SIZES: [u32; 3] = [512, 16_384, 1 << 20];
/// Bytes of a message where its size is not the question.
const ONE_SIZE: u32 = 65_536;
/// Bytes of a paced message: a frame of DELERIA's detectors.
const PACED_SIZE: u32 = 16_384;
/// Packets of a million that are lost, where some are.
const LOSS_PPM: u32 = 100;

/// How long a link-bound load flat out is measured.
const LINK_BOUND: Duration = Duration::from_millis(300);
/// Flat out on all cores.
const CPU_BOUND: Duration = Duration::from_millis(700);

/// Subjects of a full run: all that bridge two gateways. `haproxy` with and without splicing do
/// not differ where the link is the limit, and so the first is only CPU-bound.
const SUBJECTS: [Subject; 11] = [
    Subject::NoProxy,
    Subject::Copy,
    Subject::Splice,
    Subject::Sockmap,
    Subject::Auto,
    Subject::Haproxy,
    Subject::HaproxySplice,
    Subject::Nginx,
    Subject::Socat,
    Subject::StunnelPair,
    Subject::SshTunnel,
];
/// Those of `--quick`.
const QUICK_SUBJECTS: [Subject; 3] = [Subject::NoProxy, Subject::Auto, Subject::Haproxy];
/// Where packets are lost.
const LOSSY_SUBJECTS: [Subject; 2] = [Subject::NoProxy, Subject::Auto];
/// Where endpoints are as installed: what their owners see today, and with whom in between.
const AS_INSTALLED_SUBJECTS: [Subject; 3] = [Subject::NoProxy, Subject::Auto, Subject::Haproxy];
/// CPU-bound on every network: what the target compares. The others, whose cost does not depend on
/// the distance, only on the shortest.
const CPU_SUBJECTS: [Subject; 3] = [Subject::NoProxy, Subject::Auto, Subject::Haproxy];

/// A setting in which distance is hard on those who are not made for it.
#[derive(Clone, Copy, Debug)]
struct Hardship {
    setting: Setting,
    /// The shortest round trip for which it is tried, milliseconds.
    from_ms: f64,
    subjects: &'static [Subject],
    duration: Duration,
}

/// Some losses must fall into the time.
const LOSSY: Hardship = Hardship {
    setting: Setting::Lossy { ppm: LOSS_PPM },
    from_ms: 24.0,
    subjects: &LOSSY_SUBJECTS,
    duration: Duration::from_millis(2_500),
};

/// Linux's own buffers fill [`LINK_RATE`](super::chain::LINK_RATE) over shorter paths.
const AS_INSTALLED: Hardship = Hardship {
    setting: Setting::AsInstalled,
    from_ms: 58.0,
    subjects: &AS_INSTALLED_SUBJECTS,
    duration: Duration::from_millis(700),
};

/// The suite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fabric;

impl Suite for Fabric {
    fn name(&self) -> &'static str {
        "fabric"
    }

    fn usual(&self, quick: bool) -> Usual {
        let (repeats, minutes, subjects) = if quick {
            (3, 6, QUICK_SUBJECTS.to_vec())
        } else {
            (5, 40, SUBJECTS.to_vec())
        };
        Usual {
            repeats,
            minutes,
            subjects,
            nets: Net::FABRIC.to_vec(),
            regimes: vec![Regime::LinkBound, Regime::CpuBound],
        }
    }

    fn visits(&self, wanted: &Wanted) -> Vec<Vec<Visit>> {
        let nets = wanted
            .nets
            .iter()
            .copied()
            .filter(|net| net.rtt_ms().is_some());
        let mut groups = Vec::new();
        for net in nets {
            if wanted.regimes.contains(&Regime::LinkBound) {
                groups.push(link_bound(net, wanted));
                groups.extend(hard(net, wanted, LOSSY));
                groups.extend(hard(net, wanted, AS_INSTALLED));
            }
            if wanted.regimes.contains(&Regime::CpuBound) {
                groups.extend(cpu_bound(net, wanted));
            }
        }
        groups
    }

    fn settings(&self) -> Vec<String> {
        vec![
            format!(
                "Link-bound: one connection for all sizes, after a warm-up of {WARM_UP_TRIPS:.0} round trips; {} ms per size, small messages merged by the producer's kernel (Nagle, as iperf3 leaves it). Messages of {} KiB at half the link's rate, open loop, {} ms for delay and jitter: fewer than auto wants to see before it leaves splice.",
                LINK_BOUND.as_millis(),
                PACED_SIZE / 1_024,
                PACED_FOR.as_millis()
            ),
            format!(
                "With loss: every segment is lost with a probability of {} %, from 24 ms on; {} s after {} s of warm-up.",
                f64::from(LOSS_PPM) / 1e4,
                LOSSY.duration.as_secs_f64(),
                LOSSY_WARM_UP.as_secs()
            ),
            "Endpoints as installed: producer and consumer have the buffers that Linux comes with; from 58 ms on, 0.7 s.".to_owned(),
            "CPU-bound: speed first, cost by the CPU meter in a second pass over the same connection. On the shortest path all subjects, on the others direct, auto and haproxy: what a byte costs does not depend on the distance.".to_owned(),
        ]
    }
}

fn link_bound(net: Net, wanted: &Wanted) -> Vec<Visit> {
    let usual: &[u32] = if wanted.quick { &QUICK_SIZES } else { &SIZES };
    let sizes = if wanted.sizes.is_empty() {
        usual
    } else {
        &wanted.sizes
    };
    let bulk = sizes.iter().map(|&size| Load::Bulk { size });
    let loads: Vec<Load> = bulk.chain([Load::Paced { size: PACED_SIZE }]).collect();
    let subjects: Vec<Subject> = wanted
        .subjects
        .iter()
        .copied()
        .filter(|&subject| subject != Subject::HaproxySplice)
        .collect();
    let ground = wanted.ground(Regime::LinkBound, net, Setting::Tuned);
    group(ground, &subjects, &loads, LINK_BOUND)
}

fn hard(net: Net, wanted: &Wanted, hardship: Hardship) -> Option<Vec<Visit>> {
    let far = net.rtt_ms().is_some_and(|rtt| rtt >= hardship.from_ms);
    // A first look has no time for a window to come down.
    if !far || wanted.quick {
        return None;
    }
    let ground = wanted.ground(Regime::LinkBound, net, hardship.setting);
    let subjects = those(&wanted.subjects, hardship.subjects);
    let loads = [Load::Bulk { size: ONE_SIZE }];
    Some(group(ground, &subjects, &loads, hardship.duration))
}

fn cpu_bound(net: Net, wanted: &Wanted) -> Option<Vec<Visit>> {
    if wanted.quick && net != Net::Lan {
        return None;
    }
    let subjects = if net == Net::Lan {
        wanted.subjects.clone()
    } else {
        those(&wanted.subjects, &CPU_SUBJECTS)
    };
    let ground = wanted.ground(Regime::CpuBound, net, Setting::Tuned);
    Some(group(
        ground,
        &subjects,
        &[Load::Bulk { size: ONE_SIZE }],
        CPU_BOUND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::lab;

    #[test]
    fn a_full_run_and_a_quick_one_fit_into_their_time() {
        lab::fits_into_its_time(&Fabric);
    }

    #[test]
    fn every_network_has_direct_our_four_planes_and_what_bridges_two_gateways() {
        let visits: Vec<Visit> = Fabric.visits(&lab::usual_wanted(&Fabric, false)).concat();
        let has = |net, regime, subject| {
            visits.iter().any(|visit| {
                (visit.ground.net, visit.ground.regime, visit.subject) == (net, regime, subject)
            })
        };
        for net in Net::FABRIC {
            let link_bound = SUBJECTS
                .iter()
                .filter(|&&subject| subject != Subject::HaproxySplice);
            for &subject in link_bound {
                assert!(has(net, Regime::LinkBound, subject), "{net} {subject}");
            }
            for subject in CPU_SUBJECTS {
                assert!(has(net, Regime::CpuBound, subject), "{net} {subject}");
            }
        }
        assert!(
            SUBJECTS
                .into_iter()
                .all(|subject| has(Net::Lan, Regime::CpuBound, subject))
        );
    }

    #[test]
    fn a_group_shares_its_ground() {
        for group in Fabric.visits(&lab::usual_wanted(&Fabric, false)) {
            assert!(group.windows(2).all(|two| two[0].ground == two[1].ground));
        }
    }
}
