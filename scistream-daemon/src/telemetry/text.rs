//! Log lines for people: the time of day, a coloured level, the message, then `name=value`.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::rfc3339::Moment;

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
        let now = Moment::now();
        if self.on_terminal {
            write!(out, "\x1b[2m{}\x1b[0m ", now.time)?;
        } else {
            write!(out, "{}T{}Z ", now.date, now.time)?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
