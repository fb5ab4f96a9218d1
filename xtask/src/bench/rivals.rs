//! `bench peers`: what others built, on one gateway and, where they bridge two, between two.
//!
//! Flat out with nothing capped, because that is where programs differ; and messages at a fixed
//! rate over a capped link, because that is where a user feels it.

use std::time::Duration;

use clap::ValueEnum as _;

use super::lab::{Suite, Usual, Wanted, group};
use super::net::Net;
use super::scene::{Load, Regime, Setting};
use super::session::{PACED_BEFORE, PACED_FOR, Visit};
use super::subject::Subject;

/// Message sizes, bytes.
const SIZES: [u32; 3] = [1_024, 16_384, 262_144];
/// Those of `--quick`.
const QUICK_SIZES: [u32; 1] = [65_536];
/// Bytes of a paced message.
const PACED_SIZE: u32 = 16_384;

/// How long a load flat out is measured.
const DURATION: Duration = Duration::from_millis(700);

/// The suite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rivals;

impl Suite for Rivals {
    fn name(&self) -> &'static str {
        "peers"
    }

    fn usual(&self, quick: bool) -> Usual {
        Usual {
            repeats: if quick { 3 } else { 5 },
            minutes: if quick { 8 } else { 25 },
            subjects: Subject::value_variants().to_vec(),
            nets: vec![Net::One, Net::Lan],
            regimes: vec![Regime::LinkBound, Regime::CpuBound],
        }
    }

    fn visits(&self, wanted: &Wanted) -> Vec<Vec<Visit>> {
        let usual: &[u32] = if wanted.quick { &QUICK_SIZES } else { &SIZES };
        let sizes = if wanted.sizes.is_empty() {
            usual
        } else {
            &wanted.sizes
        };
        let loads = |regime| match regime {
            Regime::LinkBound => vec![Load::Paced { size: PACED_SIZE }],
            Regime::CpuBound => sizes.iter().map(|&size| Load::Bulk { size }).collect(),
        };
        let mut groups = Vec::new();
        for &net in &wanted.nets {
            for &regime in &wanted.regimes {
                let ground = wanted.ground(regime, net, Setting::Tuned);
                groups.push(group(ground, &wanted.subjects, &loads(regime), DURATION));
            }
        }
        groups
    }

    fn settings(&self) -> Vec<String> {
        vec![
            format!(
                "Link-bound: messages of {} KiB at half the link's rate, open loop; {} ms of them, after {} ms of the same.",
                PACED_SIZE / 1_024,
                PACED_FOR.as_millis(),
                PACED_BEFORE.as_millis()
            ),
            "Every program with the buffers of our copy plane where it can be told (256 KiB; pipes of 1 MiB), one thread or worker per core, no delay on its sockets, no log per connection; stunnel reads and writes single TLS records, and ssh its own windows. The configurations stand below, with the reasons in the files of the tree.".to_owned(),
            "stunnel and ssh encrypt (AES-128-GCM), the others do not: they stand for what the field uses today, not for an equal service.".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::lab;

    #[test]
    fn a_full_run_and_a_quick_one_fit_into_their_time() {
        lab::fits_into_its_time(&Rivals);
    }
}
