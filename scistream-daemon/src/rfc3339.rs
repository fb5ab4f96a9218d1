//! Moments in UTC, as logs write them: `2026-11-22T09:08:07.006Z`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in UTC, as text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Moment {
    /// `2026-11-22`
    pub date: String,
    /// `09:08:07.006`
    pub time: String,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::at(now.as_secs(), now.subsec_millis())
    }

    /// The moment so long after the beginning of 1970.
    fn at(seconds: u64, milliseconds: u32) -> Self {
        let (year, month, day) = civil_date(seconds / 86_400);
        let of_day = seconds % 86_400;
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        Self {
            date: format!("{year:04}-{month:02}-{day:02}"),
            time: format!("{hour:02}:{minute:02}:{second:02}.{milliseconds:03}"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}Z", self.date, self.time)
    }
}

/// The Gregorian date of a day counted from 1970-01-01: the calendar repeats every 400 years of
/// 146,097 days, and years counted from March put the leap day last.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let since_march_of_0 = days + 719_468;
    let era = since_march_of_0 / 146_097;
    let day_of_era = since_march_of_0 % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = (months_since_march + 2) % 12 + 1;
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_over_leap_years_and_centuries() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_088, (2024, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil_date(days), date, "{days}");
        }
    }

    #[test]
    fn a_moment_is_written_in_utc() {
        let moment = Moment::at(1_795_305_599, 7);
        assert_eq!(
            (moment.date.as_str(), moment.time.as_str()),
            ("2026-11-21", "23:59:59.007")
        );
    }
}
