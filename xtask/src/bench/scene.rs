//! What a figure is a figure of, apart from the subject: the regime, the network, the load.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::net::Net;

/// The share of all cores from which a link-bound figure tells of the machine and not of the path.
pub(crate) const BUSIEST: f64 = 0.60;

/// What holds the load back. Figures of two regimes are never mixed.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Regime {
    /// The link: it is capped so that all hosts together leave cores idle, as hosts of their own
    /// would. A cell that uses more than [`BUSIEST`] of the cores is not valid.
    LinkBound,
    /// The CPU: nothing is capped, all hosts share the cores. Tells what a byte costs.
    CpuBound,
}

/// What is sent. The order is that of the tables.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Messages one after the other, as fast as they go.
    Bulk {
        /// Bytes of one message.
        size: u32,
    },
    /// Messages that are due at fixed moments (open loop).
    Paced {
        /// Bytes of one message.
        size: u32,
    },
    /// So many streams at once, each with its share of one fixed rate.
    Streams {
        /// How many.
        count: u32,
    },
    /// So many connections that say nothing.
    Idle {
        /// How many.
        count: u32,
    },
    /// So many connections that say a little now and then.
    Trickle {
        /// How many.
        count: u32,
    },
}

/// What a connection has to do with besides distance. Figures of two settings are never mixed.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Setting {
    /// Nothing: every host has buffers for the distance, and no packet is lost.
    #[default]
    Tuned,
    /// The same, but the WAN loses packets at random.
    Lossy {
        /// So many of a million.
        ppm: u32,
    },
    /// Producer and consumer as Linux is installed, with buffers for short distances. The gateways
    /// are tuned.
    AsInstalled,
}

/// One scene; several subjects play it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct Scene {
    /// What holds the load back.
    pub(crate) regime: Regime,
    /// The network.
    pub(crate) net: Net,
    /// What else there is on the way.
    #[serde(default)]
    pub(crate) setting: Setting,
    /// The load.
    pub(crate) load: Load,
}

impl Load {
    /// What grows from one scene to the next in a plot.
    pub(super) fn measure(self) -> f64 {
        match self {
            Self::Bulk { size } | Self::Paced { size } => f64::from(size),
            Self::Streams { count } | Self::Idle { count } | Self::Trickle { count } => {
                f64::from(count)
            }
        }
    }

    /// Whether two loads differ only in their measure.
    pub(super) fn is_kin(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LinkBound => "link-bound",
            Self::CpuBound => "CPU-bound",
        })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk { size } => write!(f, "{} flat out", bytes(*size)),
            Self::Paced { size } => write!(f, "{} paced", bytes(*size)),
            Self::Streams { count: 1 } => f.write_str("1 stream"),
            Self::Streams { count } => write!(f, "{count} streams"),
            Self::Idle { count } => write!(f, "{} idle", thousands(*count)),
            Self::Trickle { count } => write!(f, "{} trickling", thousands(*count)),
        }
    }
}

impl fmt::Display for Setting {
    /// Nothing, or words that follow the name of a network.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tuned => Ok(()),
            Self::Lossy { ppm } => write!(f, ", {} % lost", f64::from(*ppm) / 10_000.0),
            Self::AsInstalled => f.write_str(", endpoints as installed"),
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            regime,
            net,
            setting,
            load,
        } = self;
        write!(f, "{regime}, {net}{setting}, {load}")
    }
}

/// `512 B`, `16 KiB`, `1 MiB`.
pub(super) fn bytes(count: u32) -> String {
    const KIB: u32 = 1_024;
    const MIB: u32 = KIB * KIB;
    match count {
        _ if count >= MIB && count.is_multiple_of(MIB) => format!("{} MiB", count / MIB),
        _ if count >= KIB && count.is_multiple_of(KIB) => format!("{} KiB", count / KIB),
        _ => format!("{count} B"),
    }
}

fn thousands(count: u32) -> String {
    match count {
        _ if count >= 1_000 && count.is_multiple_of(1_000) => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_told_in_full() {
        let scene = Scene {
            regime: Regime::LinkBound,
            net: Net::LongWan,
            setting: Setting::Lossy { ppm: 100 },
            load: Load::Bulk { size: 16_384 },
        };
        assert_eq!(
            scene.to_string(),
            "link-bound, Long WAN, 0.01 % lost, 16 KiB flat out"
        );
        let plain = Scene {
            setting: Setting::AsInstalled,
            ..scene
        };
        assert_eq!(
            plain.to_string(),
            "link-bound, Long WAN, endpoints as installed, 16 KiB flat out"
        );
        assert_eq!(bytes(1 << 20), "1 MiB");
        assert_eq!(bytes(1_500), "1500 B");
        assert_eq!(Load::Idle { count: 10_000 }.to_string(), "10k idle");
    }

    #[test]
    fn a_scene_comes_back_from_json_as_it_was() {
        let scene = Scene {
            regime: Regime::CpuBound,
            net: Net::One,
            setting: Setting::AsInstalled,
            load: Load::Trickle { count: 1_000 },
        };
        let text = serde_json::to_string(&scene).unwrap();
        assert_eq!(serde_json::from_str::<Scene>(&text).unwrap(), scene);
    }
}
