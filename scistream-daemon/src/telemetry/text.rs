//! Log lines for people: the time of day, a coloured level, the message, then `name=value`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats an event as one line; with colours on a terminal, with the date elsewhere.
#[derive(Debug)]
pub(super) struct TextLines {
    on_terminal: bool,
}

impl TextLines {
    pub(super) fn new(on_terminal: bool) -> Self {
        Self { on_terminal }
    }

    fn line(&self, out: &mut impl fmt::Write, event: &Event<'_>) -> fmt::Result {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let clock = Clock::at(now.as_secs(), now.subsec_millis());
        if self.on_terminal {
            write!(out, "\x1b[2m{}\x1b[0m ", clock.time)?;
        } else {
            write!(out, "{}T{}Z ", clock.date, clock.time)?;
        }
        let (name, colour) = level_style(*event.metadata().level());
        if self.on_terminal {
            write!(out, "{colour}{name:5}\x1b[0m ")?;
        } else {
            write!(out, "{name:5} ")?;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        out.write_str(&fields.message)?;
        if self.on_terminal {
            write!(out, "\x1b[2m{}\x1b[0m", fields.rest)?;
        } else {
            out.write_str(&fields.rest)?;
        }
        out.write_char('\n')
    }
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        self.line(&mut writer, event)
    }
}

fn level_style(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("error", "\x1b[1;31m"),
        Level::WARN => ("warn", "\x1b[33m"),
        Level::INFO => ("info", "\x1b[32m"),
        Level::DEBUG => ("debug", "\x1b[34m"),
        Level::TRACE => ("trace", "\x1b[35m"),
    }
}

/// The message, and the other fields as ` name=value`.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn push(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        use fmt::Write as _;
        // Writing to a String does not fail.
        let _infallible = if field.name() == "message" {
            self.message.write_fmt(value)
        } else {
            write!(self.rest, " {}={}", field.name(), value)
        };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message"
            && value.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            self.push(field, format_args!("{value:?}"));
        } else {
            self.push(field, format_args!("{value}"));
        }
    }
}

/// A moment in UTC, as text.
struct Clock {
    date: String,
    time: String,
}

impl Clock {
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
        let clock = Clock::at(1_795_305_599, 7);
        assert_eq!(
            (clock.date.as_str(), clock.time.as_str()),
            ("2026-11-21", "23:59:59.007")
        );
    }

    #[test]
    fn a_line_holds_level_message_and_fields() {
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        struct Capture(Arc<Mutex<Vec<u8>>>);

        impl std::io::Write for Capture {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        let capture = Capture::default();
        let sink = capture.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(TextLines::new(false))
            .with_writer(move || sink.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                plane = "splice",
                reason = "too old",
                bytes = 7,
                "plane declined"
            );
        });
        let line = String::from_utf8(capture.0.lock().unwrap().clone()).unwrap();
        assert!(
            line.ends_with("Z warn  plane declined plane=splice reason=\"too old\" bytes=7\n"),
            "{line}"
        );
    }
}
