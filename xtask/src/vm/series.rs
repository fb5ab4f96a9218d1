//! The kernels: series of Linux, and which of Debian's packages is the newest of one.

use std::fmt;

/// A series of kernels that the gateway is tried on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, clap::ValueEnum)]
pub(crate) enum Series {
    /// Debian 11's, whose sockmap loses bytes: the gateway must decline it
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, and what Debian 12 offers besides
    #[value(name = "6.12")]
    V6_12,
    /// A long-term series of the backports to Debian 13
    #[value(name = "6.18")]
    V6_18,
    /// The newest of the backports to Debian 13
    #[value(name = "7")]
    V7,
}

/// What ends the name of a package with a kernel for virtual machines; both kinds boot here, and
/// the first is smaller.
const ENDINGS: [&str; 2] = ["-cloud-amd64-unsigned", "-cloud-amd64"];

impl Series {
    /// All of them, oldest first.
    pub(super) const ALL: [Self; 5] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V6_18, Self::V7];

    /// Those that CI tries on every commit.
    pub(super) const USUAL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// Whether the gateway must decline the sockmap plane here.
    pub(super) fn declines_sockmap(self) -> bool {
        match self {
            Self::V5_10 => true,
            Self::V6_1 | Self::V6_12 | Self::V6_18 | Self::V7 => false,
        }
    }

    /// Debian's suite that has it, where this system's own package lists do not.
    pub(super) fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V6_18 | Self::V7 => "trixie-backports",
        }
    }

    /// What its packages' names begin with.
    pub(super) fn prefix(self) -> String {
        format!("linux-image-{self}.")
    }

    /// The newest of its packages among `names`.
    pub(super) fn newest(self, names: &[String]) -> Option<&str> {
        let prefix = self.prefix();
        let version = |name: &str| {
            let rest = name.strip_prefix(&prefix)?;
            let (rank, version) = ENDINGS
                .iter()
                .enumerate()
                .find_map(|(rank, ending)| Some((rank, rest.strip_suffix(ending)?)))?;
            Some((numbers(version), ENDINGS.len() - rank))
        };
        let of_series = names.iter().filter_map(|name| Some((version(name)?, name)));
        of_series.max().map(|(_, name)| name.as_str())
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V6_18 => "6.18",
            Self::V7 => "7",
        })
    }
}

/// The numbers in a version, by which versions of one kind are ordered.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(series: Series, names: &[&str]) -> Option<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        series.newest(&names).map(str::to_owned)
    }

    #[test]
    fn the_newest_kernel_is_told_by_numbers_and_not_by_letters() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-60-amd64-unsigned",
            "linux-image-6.12.107+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.99+deb12-cloud-amd64-unsigned",
        ];
        let of = |series| newest(series, &names);
        assert_eq!(of(Series::V6_1).as_deref(), Some(names[1]));
        assert_eq!(of(Series::V6_12).as_deref(), Some(names[3]));
        assert_eq!(of(Series::V6_18), None);
    }

    #[test]
    fn of_one_version_the_unsigned_package_is_taken_and_of_two_the_newer() {
        let signed = "linux-image-7.3.4+deb13-cloud-amd64";
        let unsigned = "linux-image-7.3.4+deb13-cloud-amd64-unsigned";
        let debug = "linux-image-7.3.9+deb13-cloud-amd64-dbg";
        let newer = "linux-image-7.3.5+deb13-cloud-amd64";
        let of = |names: &[&str]| newest(Series::V7, names);
        assert_eq!(of(&[signed, unsigned, debug]).as_deref(), Some(unsigned));
        assert_eq!(of(&[unsigned, newer]).as_deref(), Some(newer));
        assert_eq!(of(&[signed]).as_deref(), Some(signed));
    }
}
