//! The running kernel's version, and whether its sockmap may be trusted with data.

use std::{fmt, fs};

/// A kernel version, less whatever the distribution appends.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct KernelVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

/// What a kernel's sockmap is worth by its version. Distributions carry fixes back, so the self-test
/// has the last word where the gate says yes, and the gate where it says no.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SockmapGate {
    /// Has every fix that concerns this gateway.
    Recommended,
    /// Keeps data whole, but lacks later fixes.
    Works {
        /// From where on nothing is lacking.
        recommended: KernelVersion,
    },
    /// Loses, repeats or stalls data.
    TooOld {
        /// The oldest kernel, of its series where that was mended, that does not.
        wanted: KernelVersion,
    },
}

/// The stable series that got the fixes of data lost and duplicated on EAGAIN (upstream in 6.16):
/// (major, minor, first patch level that keeps data whole, first with the later fixes).
const MENDED_SERIES: [(u32, u32, u32, Option<u32>); 5] = [
    (6, 1, 142, Some(165)),
    (6, 6, 95, None),
    (6, 12, 35, Some(75)),
    (6, 15, 4, None),
    (6, 18, 0, Some(44)),
];

/// The first release with the fixes.
const FIRST_MENDED: KernelVersion = KernelVersion::new(6, 16, 0);

/// The newest series whose later fixes are known by patch level; what comes after was born with
/// them.
const NEWEST_KNOWN: KernelVersion = KernelVersion::new(6, 18, 44);

impl KernelVersion {
    /// A version from its three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The running kernel's.
    pub fn running() -> Self {
        let uname = rustix::system::uname();
        Self::from_uname(
            &uname.release().to_string_lossy(),
            &uname.version().to_string_lossy(),
            fs::read_to_string("/proc/version_signature")
                .ok()
                .as_deref(),
        )
    }

    /// From what a kernel says of itself. Debian and Ubuntu freeze the patch level in `release`
    /// (`uname -r`: 6.1.0-32-amd64) and tell the real one elsewhere: Debian in `version` (`uname
    /// -v`), Ubuntu in the last word of `signature` (`/proc/version_signature`).
    pub fn from_uname(release: &str, version: &str, signature: Option<&str>) -> Self {
        let debian = version
            .split_once("Debian ")
            .map(|(_, real)| Self::from_release(real));
        let ubuntu = signature
            .and_then(|signature| signature.split_whitespace().next_back())
            .map(Self::from_release);
        let named = Self::from_release(release);
        debian
            .or(ubuntu)
            .filter(|real| (real.major, real.minor) == (named.major, named.minor))
            .unwrap_or(named)
    }

    /// From `uname -r`, such as `6.1.0-32-amd64`; what is not a number counts as 0.
    pub fn from_release(release: &str) -> Self {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self::new(next(), next(), next())
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            major,
            minor,
            patch,
        } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Whether sockmap may be used on a kernel.
pub fn sockmap_gate(kernel: KernelVersion) -> SockmapGate {
    let KernelVersion { major, minor, .. } = kernel;
    let series = MENDED_SERIES
        .into_iter()
        .find(|&(of_major, of_minor, ..)| (of_major, of_minor) == (major, minor));
    let (mended, recommended) = match series {
        Some((.., mended, recommended)) => (
            KernelVersion::new(major, minor, mended),
            recommended.map(|patch| KernelVersion::new(major, minor, patch)),
        ),
        None if kernel < KernelVersion::new(6, 1, 0) => (KernelVersion::new(6, 1, 142), None),
        None if kernel > NEWEST_KNOWN => (FIRST_MENDED, Some(FIRST_MENDED)),
        None => (FIRST_MENDED, None),
    };
    let recommended = recommended.unwrap_or(NEWEST_KNOWN);
    if kernel < mended {
        SockmapGate::TooOld { wanted: mended }
    } else if kernel < recommended {
        SockmapGate::Works { recommended }
    } else {
        SockmapGate::Recommended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(release: &str) -> SockmapGate {
        sockmap_gate(KernelVersion::from_release(release))
    }

    fn too_old(wanted: &str) -> SockmapGate {
        SockmapGate::TooOld {
            wanted: KernelVersion::from_release(wanted),
        }
    }

    fn works(recommended: &str) -> SockmapGate {
        SockmapGate::Works {
            recommended: KernelVersion::from_release(recommended),
        }
    }

    #[test]
    fn releases_are_read_up_to_what_the_distribution_appends() {
        for (release, version) in [
            ("6.18.44-fc-v669", KernelVersion::new(6, 18, 44)),
            ("6.1.0-32-amd64", KernelVersion::new(6, 1, 0)),
            ("7.0-rc1", KernelVersion::new(7, 0, 0)),
            ("6.12.35+deb13", KernelVersion::new(6, 12, 35)),
            ("garbage", KernelVersion::default()),
        ] {
            assert_eq!(KernelVersion::from_release(release), version, "{release}");
        }
    }

    #[test]
    fn the_patch_level_that_a_distribution_hides_is_found() {
        let debian = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.159-1 (2026-01-03)";
        let ubuntu = "Ubuntu 6.8.0-45.45-generic 6.8.12\n";
        for (release, version, signature, expected) in [
            (
                "6.1.0-42-amd64",
                debian,
                None,
                KernelVersion::new(6, 1, 159),
            ),
            (
                "6.8.0-45-generic",
                "#45-Ubuntu SMP",
                Some(ubuntu),
                KernelVersion::new(6, 8, 12),
            ),
            (
                "6.18.44-fc-v669",
                "#1 SMP",
                None,
                KernelVersion::new(6, 18, 44),
            ),
            ("6.12.9-custom", debian, None, KernelVersion::new(6, 12, 9)),
        ] {
            assert_eq!(
                KernelVersion::from_uname(release, version, signature),
                expected
            );
        }
    }

    #[test]
    fn the_gate_opens_where_each_series_was_mended() {
        for (release, expected) in [
            ("4.19.0", too_old("6.1.142")),
            ("5.10.223", too_old("6.1.142")),
            ("5.15.199", too_old("6.1.142")),
            ("6.0.19", too_old("6.1.142")),
            ("6.1.141", too_old("6.1.142")),
            ("6.1.142", works("6.1.165")),
            ("6.1.165", SockmapGate::Recommended),
            ("6.5.13", too_old("6.16.0")),
            ("6.6.94", too_old("6.6.95")),
            ("6.6.95", works("6.18.44")),
            ("6.8.12", too_old("6.16.0")),
            ("6.12.34", too_old("6.12.35")),
            ("6.12.35", works("6.12.75")),
            ("6.12.75", SockmapGate::Recommended),
            ("6.14.11", too_old("6.16.0")),
            ("6.15.3", too_old("6.15.4")),
            ("6.15.4", works("6.18.44")),
            ("6.16.0", works("6.18.44")),
            ("6.17.13", works("6.18.44")),
            ("6.18.15", works("6.18.44")),
            ("6.18.44-fc-v669", SockmapGate::Recommended),
            ("6.19.0", SockmapGate::Recommended),
            ("7.3.4", SockmapGate::Recommended),
        ] {
            assert_eq!(gate(release), expected, "{release}");
        }
    }
}
