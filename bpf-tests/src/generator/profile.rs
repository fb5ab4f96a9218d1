//! Loads that the field would recognise. The sizes are those of the projects; rates and rhythms are
//! ours, chosen so that one host can make them, and a command line overrides them.

use std::time::Duration;

use super::{Load, Pace};

/// A named load.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, clap::ValueEnum)]
pub enum Profile {
    /// DELERIA's events of a gamma-ray detector: 16 KiB each, 2 Gb/s.
    Deleria,
    /// LCLS's frames of an X-ray laser: 1 MB each, 4 Gb/s.
    Lcls,
    /// Generic streaming: 4 MB each, as fast as it goes.
    Generic,
    /// A detector with a trigger: eight frames of 1 MB at once, ten times per second.
    Detector,
    /// A control channel: 512 bytes ten times per second.
    Quiet,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Deleria,
        Self::Lcls,
        Self::Generic,
        Self::Detector,
        Self::Quiet,
    ];

    /// The load, on one TCP stream.
    pub fn load(self) -> Load {
        let every = Duration::from_millis(100);
        let rate = |bits_per_second| Pace::Rate { bits_per_second };
        let (message_size, pace) = match self {
            Self::Deleria => (16 << 10, rate(2_000_000_000)),
            Self::Lcls => (1_000_000, rate(4_000_000_000)),
            Self::Generic => (4_000_000, Pace::FlatOut),
            Self::Detector => (1_000_000, Pace::Bursts { messages: 8, every }),
            Self::Quiet => (512, Pace::Bursts { messages: 1, every }),
        };
        Load {
            message_size,
            pace,
            ..Load::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_can_be_sent() {
        for profile in Profile::ALL {
            profile.load().check().unwrap();
        }
    }
}
