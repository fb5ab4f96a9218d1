//! How long things may take before they count as stuck, on machines slower than most.
//!
//! Every limit of the lab is meant for a busy host. Under emulation all of them are stretched by
//! one factor; what a test demands of the gateway stays as it is.

use std::sync::LazyLock;
use std::time::Duration;

/// Names the factor: a whole number, 1 where it is not set.
pub const VARIABLE: &str = "SCISTREAM_PATIENCE";

static FACTOR: LazyLock<u32> = LazyLock::new(|| factor(std::env::var(VARIABLE).ok().as_deref()));

/// The limit as this machine needs it.
pub fn stretched(limit: Duration) -> Duration {
    limit.saturating_mul(*FACTOR)
}

/// Reads the factor; what is no whole number of 1 or more asks for nothing.
fn factor(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_a_whole_number_and_never_makes_impatient() {
        assert_eq!(factor(None), 1);
        assert_eq!(factor(Some("4")), 4);
        assert_eq!(factor(Some("0")), 1);
        assert_eq!(factor(Some("fast")), 1);
    }
}
