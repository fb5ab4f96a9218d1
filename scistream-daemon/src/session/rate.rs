//! Rates: bytes per second of payload, in each direction.

use std::fmt;

/// Bytes per second of payload, in one direction.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Rate(u64);

/// What the `rate` of a `req` is taken for. Every existing script sends 10000 kB/s whether anyone
/// meant it or not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RateUse {
    /// As a cap: the session never moves more.
    Cap,
    /// As nothing.
    Ignore,
    /// As a reservation: admitted against the gateway's capacity, and no cap.
    #[default]
    Reserve,
}

impl Rate {
    /// No bytes at all.
    pub const ZERO: Self = Self(0);

    /// A rate in bytes per second.
    pub const fn from_bytes(per_second: u64) -> Self {
        Self(per_second)
    }

    /// A rate in bits per second, rounded down to bytes.
    pub const fn from_bits(per_second: u64) -> Self {
        Self(per_second / 8)
    }

    /// A rate in kB/s, 1000 bytes each, as the wire has it.
    pub const fn from_kilobytes(per_second: u64) -> Self {
        Self(per_second.saturating_mul(1000))
    }

    /// In bytes per second.
    pub const fn to_bytes(self) -> u64 {
        self.0
    }

    /// In bits per second.
    pub const fn to_bits(self) -> u64 {
        self.0.saturating_mul(8)
    }

    /// Whether it is none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, at most what a number can hold.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.to_bits();
        let (unit, divisor) = match bits {
            0..1_000 => return write!(f, "{bits} b/s"),
            1_000..1_000_000 => ("kb/s", 1e3),
            1_000_000..1_000_000_000 => ("Mb/s", 1e6),
            1_000_000_000.. => ("Gb/s", 1e9),
        };
        write!(f, "{:.2} {unit}", bits as f64 / divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_of_every_script_is_80_megabits() {
        assert_eq!(Rate::from_kilobytes(10_000).to_string(), "80.00 Mb/s");
        assert_eq!(Rate::from_bits(80_000_000), Rate::from_kilobytes(10_000));
    }

    #[test]
    fn sums_and_differences_stay_within_bounds() {
        assert_eq!(Rate::from_bytes(1).less(Rate::from_bytes(2)), Rate::ZERO);
        let most = Rate::from_bytes(u64::MAX);
        assert_eq!(most.plus(most), most);
        assert_eq!(most.to_bits(), u64::MAX);
    }
}
