//! Logging: short lines for people or flat JSON objects, filtered by `--log-level` or `S2CS_LOG`,
//! written to standard error by a thread of its own so that a slow reader never holds up a byte.

mod text;
mod writer;

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use crate::cli::{LogArgs, LogFormat};
use text::TextLines;
use writer::LogWriter;

/// Where the filter is taken from when `--log-level` is not given.
const FILTER_VARIABLE: &str = "S2CS_LOG";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "{origin} holds `{filter}`, which is no log filter: {part:?} is neither off, error, warn, info, debug or \
         trace nor MODULE=LEVEL; try info or debug"
    )]
    Filter {
        /// The option or variable it came from.
        origin: &'static str,
        /// What was given.
        filter: String,
        /// The part between commas that is wrong.
        part: String,
    },
    /// The writing thread did not start.
    #[error("the log cannot be written: {source}; raise the limit on threads")]
    Thread {
        /// What the kernel answered.
        source: io::Error,
    },
    /// A second set-up in one process.
    #[error("logging is already set up: {source}")]
    Twice {
        /// What the first set-up left.
        source: tracing::subscriber::SetGlobalDefaultError,
    },
}

/// Writes what is still queued when dropped.
#[derive(Debug)]
pub struct LogGuard {
    writer: LogWriter,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.writer.finish();
    }
}

/// Sets up the process's log on standard error.
///
/// # Errors
/// When the filter does not parse, or logging is set up already.
pub fn init(args: &LogArgs) -> Result<LogGuard, TelemetryError> {
    let filter = filter(args.filter.as_deref())?;
    let writer =
        LogWriter::start(io::stderr()).map_err(|source| TelemetryError::Thread { source })?;
    let guard = LogGuard {
        writer: writer.clone(),
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(writer);
    let outcome = match args.format {
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .with_span_list(false)
                .finish()
                .with(filter),
        ),
        LogFormat::Text => tracing::subscriber::set_global_default(
            builder
                .event_format(TextLines::new(io::stderr().is_terminal()))
                .finish()
                .with(filter),
        ),
    };
    outcome.map_err(|source| TelemetryError::Twice { source })?;
    Ok(guard)
}

/// The filter asked for: the option, else the variable, else `info`. Levels by module and no more: what
/// fields and spans say is not filtered by, which takes regular expressions, half a megabyte of program.
fn filter(option: Option<&str>) -> Result<Targets, TelemetryError> {
    let variable = std::env::var(FILTER_VARIABLE).ok();
    let (origin, filter) = match (option, variable) {
        (Some(filter), _) => ("--log-level", filter.to_owned()),
        (None, Some(filter)) if !filter.is_empty() => (FILTER_VARIABLE, filter),
        (None, Some(_) | None) => return Ok(Targets::new().with_default(LevelFilter::INFO)),
    };
    targets(&filter).map_err(|part| TelemetryError::Filter {
        origin,
        part: part.to_owned(),
        filter: filter.clone(),
    })
}

/// Reads levels between commas, of one module or of all others (`info` when nothing is said); an error
/// is the part that is none.
fn targets(filter: &str) -> Result<Targets, &str> {
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for part in filter.split(',') {
        let (module, level) = part
            .split_once('=')
            .map_or((None, part), |(module, level)| (Some(module), level));
        // The library takes an empty word for `error`.
        let level = Some(level.trim())
            .filter(|level| !level.is_empty())
            .ok_or(part)?;
        let level: LevelFilter = level.parse().map_err(|_unknown| part)?;
        targets = match module.map(str::trim) {
            None => targets.with_default(level),
            Some("") => return Err(part),
            Some(module) => targets.with_target(module, level),
        };
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_of_one_module_or_of_all_others() {
        for (filter, here, elsewhere) in [
            ("debug", Some(Level::DEBUG), Some(Level::DEBUG)),
            (
                "warn, here::too=trace",
                Some(Level::TRACE),
                Some(Level::WARN),
            ),
            ("here=debug", Some(Level::DEBUG), Some(Level::INFO)),
            ("off,here=error", Some(Level::ERROR), None),
            ("Info,here=off", None, Some(Level::INFO)),
        ] {
            let targets = targets(filter).unwrap();
            for (target, finest) in [("here::too", here), ("elsewhere", elsewhere)] {
                let shown = [
                    Level::ERROR,
                    Level::WARN,
                    Level::INFO,
                    Level::DEBUG,
                    Level::TRACE,
                ]
                .into_iter()
                .filter(|level| targets.would_enable(target, level))
                .max();
                assert_eq!(shown, finest, "{filter}: {target}");
            }
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_named() {
        for (filter, part) in [
            ("inof", "inof"),
            ("", ""),
            ("info,", ""),
            ("info,here", "here"),
            ("here=loud,info", "here=loud"),
            ("here=", "here="),
            ("=debug", "=debug"),
        ] {
            assert_eq!(targets(filter).unwrap_err(), part, "{filter}");
        }
    }
}
