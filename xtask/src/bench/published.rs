//! INDIS'22's figures of SciStream on FABRIC: what ours are drawn beside, as ratios to direct.
//!
//! The table is the publication's own, committed as it is. Their hosts, kernels and generators
//! were others: absolute figures of two labs say nothing about each other.

use super::net::Net;

const TABLE: &str = include_str!("published/indis22_goodput.csv");

/// Messages from which a mean over sizes is taken: below, their generator was the limit.
const MEAN_FROM: u32 = 32_768;

/// A path of INDIS'22.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Path {
    /// Gateway to gateway without a relay.
    Direct,
    /// Their relay in user space.
    Legacy,
    /// Their sockmap.
    Sockmap,
}

/// One measured point: bytes of a message, and goodput in Gb/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) size: u32,
    pub(super) goodput: f64,
}

impl Path {
    /// All three.
    pub(super) const ALL: [Self; 3] = [Self::Direct, Self::Legacy, Self::Sockmap];

    /// The name in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Legacy => "legacy",
            Self::Sockmap => "sockmap",
        }
    }

    /// The points of a network, by growing size; none for a network they did not have.
    pub(super) fn points(self, net: Net) -> Vec<Point> {
        TABLE
            .lines()
            .filter_map(|line| self.point(net, line))
            .collect()
    }

    fn point(self, net: Net, line: &str) -> Option<Point> {
        let fields: Vec<&str> = line.split(',').collect();
        let &[topology, _rtt, path, size, goodput] = fields.as_slice() else {
            return None;
        };
        // The table writes `ShortWAN`.
        let ours = net.name().replace(' ', "");
        (topology == ours && path == self.name()).then_some(())?;
        Some(Point {
            size: size.parse().ok()?,
            goodput: goodput.trim().parse().ok()?,
        })
    }

    /// The points divided by direct's of the same size.
    pub(super) fn ratios(self, net: Net) -> Vec<(u32, f64)> {
        let direct = Self::Direct.points(net);
        let own = self.points(net).into_iter().zip(direct);
        own.map(|(own, direct)| (own.size, own.goodput / direct.goodput))
            .collect()
    }

    /// The mean of the goodputs from 32 KiB on, divided by direct's.
    pub(super) fn mean_ratio(self, net: Net) -> Option<f64> {
        let mean = |path: Self| {
            let points = path.points(net);
            let large: Vec<f64> = points
                .iter()
                .filter(|point| point.size >= MEAN_FROM)
                .map(|point| point.goodput)
                .collect();
            (!large.is_empty()).then(|| large.iter().sum::<f64>() / large.len() as f64)
        };
        Some(mean(self)? / mean(Self::Direct)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_twelve_sizes_on_every_path() {
        for net in Net::FABRIC {
            for path in Path::ALL {
                let points = path.points(net);
                assert_eq!(points.len(), 12, "{net} {path:?}");
                assert!(points.is_sorted_by_key(|point| point.size));
                assert_eq!((points[0].size, points[11].size), (512, 1 << 20));
            }
        }
        assert!(Path::Direct.points(Net::One).is_empty());
    }

    #[test]
    fn their_means_are_those_of_the_publication() {
        let of = |path: Path, net| (path.mean_ratio(net).unwrap() * 100.0).round() / 100.0;
        assert_eq!(of(Path::Legacy, Net::Wan), 1.14);
        assert_eq!(of(Path::Sockmap, Net::LongWan), 1.01);
        assert_eq!(of(Path::Sockmap, Net::Metro), 1.11);
        assert_eq!(of(Path::Direct, Net::Lan), 1.0);
    }
}
