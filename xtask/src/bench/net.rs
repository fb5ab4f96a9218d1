//! The networks of the lab, as the suites name them.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Hosts in a row and how far apart they are. The order is that of the tables.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Net {
    /// Producer, gateway, consumer, side by side.
    One,
    /// Two gateways, 0.44 ms from end to end (INDIS'22: SALT-UTAH).
    Lan,
    /// Two gateways, 5.5 ms (MICH-STAR).
    Metro,
    /// Two gateways, 24 ms (STAR-DALL).
    ShortWan,
    /// Two gateways, 58 ms (UTAH-MAX).
    Wan,
    /// Two gateways, 144 ms (MICH-TACC).
    LongWan,
}

impl Net {
    /// The five of INDIS'22.
    pub(super) const FABRIC: [Self; 5] = [
        Self::Lan,
        Self::Metro,
        Self::ShortWan,
        Self::Wan,
        Self::LongWan,
    ];

    /// From end to end and back, milliseconds; none where the hosts are side by side.
    pub(super) fn rtt_ms(self) -> Option<f64> {
        match self {
            Self::One => None,
            Self::Lan => Some(0.44),
            Self::Metro => Some(5.49),
            Self::ShortWan => Some(24.344),
            Self::Wan => Some(58.161),
            Self::LongWan => Some(143.691),
        }
    }

    /// The name in INDIS'22's tables, and in ours.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::One => "one gateway",
            Self::Lan => "LAN",
            Self::Metro => "Metro",
            Self::ShortWan => "Short WAN",
            Self::Wan => "WAN",
            Self::LongWan => "Long WAN",
        }
    }

    /// The name with the distance.
    pub(super) fn title(self) -> String {
        match self.rtt_ms() {
            None => self.name().to_owned(),
            Some(rtt) if rtt < 10.0 => format!("{}, {rtt:.2} ms", self.name()),
            Some(rtt) => format!("{}, {rtt:.0} ms", self.name()),
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
