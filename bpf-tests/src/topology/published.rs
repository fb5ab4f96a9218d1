//! The five paths on FABRIC over which SciStream was published, by their round-trip times.
//!
//! INDIS'22 (the IEEE/ACM workshop on Innovating the Network for Data-Intensive Science): five hosts,
//! producer - gateway - gateway - consumer, each link's round-trip time as measured there.

use std::time::Duration;

use super::{LinkOptions, TwoOptions};
use crate::wan::WanOptions;

/// One of the published paths, from short to long.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Published {
    /// Salt Lake City to Utah: both gateways in one region.
    Lan,
    /// Michigan to StarLight.
    Metro,
    /// StarLight to Dallas.
    ShortWan,
    /// Utah to Maryland.
    Wan,
    /// Michigan to Texas (TACC).
    LongWan,
}

/// The round-trip time of each link of a path, and of all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoundTrips {
    /// Producer to its gateway.
    pub producer_lan: Duration,
    /// Gateway to gateway.
    pub wan: Duration,
    /// Gateway to consumer.
    pub consumer_lan: Duration,
    /// Producer to consumer.
    pub overall: Duration,
}

impl Published {
    /// All five, from short to long.
    pub const ALL: [Self; 5] = [
        Self::Lan,
        Self::Metro,
        Self::ShortWan,
        Self::Wan,
        Self::LongWan,
    ];

    /// The name it was published under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "LAN",
            Self::Metro => "Metro",
            Self::ShortWan => "Short WAN",
            Self::Wan => "WAN",
            Self::LongWan => "Long WAN",
        }
    }

    /// The FABRIC sites of the two gateways.
    pub fn sites(self) -> &'static str {
        match self {
            Self::Lan => "SALT-UTAH",
            Self::Metro => "MICH-STAR",
            Self::ShortWan => "STAR-DALL",
            Self::Wan => "UTAH-MAX",
            Self::LongWan => "MICH-TACC",
        }
    }

    /// The round-trip times as they were measured on FABRIC.
    pub fn round_trips(self) -> RoundTrips {
        let [producer_lan, consumer_lan, wan, overall] = match self {
            Self::Lan => [87, 100, 253, 440],
            Self::Metro => [92, 105, 5_293, 5_490],
            Self::ShortWan => [167, 179, 23_998, 24_344],
            Self::Wan => [165, 148, 57_848, 58_161],
            Self::LongWan => [161, 160, 143_370, 143_691],
        }
        .map(Duration::from_micros);
        RoundTrips {
            producer_lan,
            wan,
            consumer_lan,
            overall,
        }
    }

    /// Two gateways as far from each other as these, without rate cap, loss or jitter.
    ///
    /// The links of the two LANs are plain veth pairs, whose own 20 to 60 µs stand for the 87 to 179 µs
    /// of FABRIC: holding packets for so short a time would cost more time than it is to add.
    pub fn options(self) -> TwoOptions {
        TwoOptions {
            lan: LinkOptions::default(),
            wan: WanOptions::new(self.round_trips().wan),
        }
    }
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_add_up_to_the_whole() {
        for path in Published::ALL {
            let RoundTrips {
                producer_lan,
                wan,
                consumer_lan,
                overall,
            } = path.round_trips();
            assert_eq!(producer_lan + wan + consumer_lan, overall, "{path}");
        }
    }
}
