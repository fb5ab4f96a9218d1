//! The moment a run began, as a name and as a date. UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// `2026-01-02T03:04:05Z`.
pub(super) fn date_time(moment: SystemTime) -> String {
    let seconds = moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let of_day = seconds % SECONDS_PER_DAY;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The date, `days` after 1970-01-01, in the Gregorian calendar: counted in years that begin in
/// March, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    /// Days of 400 years.
    const ERA: u64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const EPOCH: u64 = 719_468;
    let shifted = days + EPOCH;
    let (era, of_era) = (shifted / ERA, shifted % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after_epoch(seconds: u64) -> String {
        date_time(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn dates_before_in_and_after_a_leap_day_are_right() {
        assert_eq!(after_epoch(0), "1970-01-01T00:00:00Z");
        assert_eq!(after_epoch(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(after_epoch(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(after_epoch(951_868_800), "2000-03-01T00:00:00Z");
        assert_eq!(after_epoch(1_767_323_045), "2026-01-02T03:04:05Z");
    }
}
