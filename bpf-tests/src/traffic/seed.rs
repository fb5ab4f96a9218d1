//! Where the randomness of a test comes from: one printed seed, from the environment when a run is
//! to be repeated, and streams of draws from it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::pattern::mix;

/// The variable that replays a run.
const SEED_VARIABLE: &str = "SCISTREAM_SEED";

/// The seed of one test, and the seeds derived from it, in the order they are asked for.
#[derive(Debug)]
pub struct Seed {
    base: u64,
    derived: AtomicU64,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Draw {
    state: u64,
}

impl Seed {
    /// The seed in `SCISTREAM_SEED` (decimal or 0x…), or a new one.
    pub fn from_env() -> Result<Self> {
        let base = match std::env::var(SEED_VARIABLE) {
            Ok(text) => parse(&text).with_context(|| {
                format!("{SEED_VARIABLE}={text} is not a 64-bit number, decimal or 0x…")
            })?,
            Err(_) => fresh(),
        };
        Ok(Self::new(base))
    }

    /// This seed.
    pub fn new(base: u64) -> Self {
        Self {
            base,
            derived: AtomicU64::new(0),
        }
    }

    /// The next seed derived from this one.
    pub fn derive(&self) -> u64 {
        mix(self.base ^ mix(self.derived.fetch_add(1, Ordering::Relaxed)))
    }

    /// How to repeat the run, for messages.
    pub fn replay(&self) -> String {
        format!("{SEED_VARIABLE}={:#018x}", self.base)
    }
}

impl Draw {
    /// The draws of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number in `range`, which is not empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        let span = range.end.saturating_sub(range.start).max(1);
        range.start + self.next() % span
    }

    /// A number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        /// As many bits as the fraction of a double has.
        const BITS: u32 = 53;
        (self.next() >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
    }

    /// A pause shorter than `most`; none at all half of the time, because back-to-back segments
    /// hit other races than spaced ones.
    pub fn pause(&mut self, most: Duration) -> Duration {
        if self.within(0..2) == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.within(0..most.as_nanos() as u64))
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn parse(text: &str) -> Result<u64> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16)?,
        None => text.parse()?,
    };
    Ok(number)
}

/// Differs between runs and between the tests of one process.
fn fresh() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    mix(nanos ^ mix(CALLS.fetch_add(1, Ordering::Relaxed)) ^ u64::from(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are_printed() {
        let seed = Seed::new(0x1234_5678_9abc_def0);
        let printed = seed.replay();
        let text = printed.split('=').nth(1).expect("NAME=value");
        assert_eq!(parse(text).expect("a seed"), 0x1234_5678_9abc_def0);
        assert_eq!(parse("17").expect("a seed"), 17);
        assert!(parse("seventeen").is_err());
    }

    #[test]
    fn the_same_seed_derives_the_same_seeds() {
        let (one, other) = (Seed::new(5), Seed::new(5));
        let first: Vec<u64> = (0..4).map(|_| one.derive()).collect();
        let second: Vec<u64> = (0..4).map(|_| other.derive()).collect();
        assert_eq!(first, second);
    }
}
