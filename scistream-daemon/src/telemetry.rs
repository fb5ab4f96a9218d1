//! Logging: short lines for people or flat JSON objects, filtered by `--log-level` or `S2CS_LOG`,
//! written to standard error by a thread of its own so that a slow reader never holds up a byte.

mod text;
mod writer;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::cli::{LogArgs, LogFormat};
use text::TextLines;
use writer::LogWriter;

/// Where the filter is taken from when `--log-level` is not given.
const FILTER_VARIABLE: &str = "S2CS_LOG";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error("{origin} holds `{filter}`, which is no log filter: {source}; try info or debug")]
    Filter {
        /// The option or variable it came from.
        origin: &'static str,
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
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
        .with_env_filter(filter)
        .with_writer(writer);
    let outcome = match args.format {
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_current_span(false)
                .with_span_list(false)
                .finish(),
        ),
        LogFormat::Text => tracing::subscriber::set_global_default(
            builder
                .event_format(TextLines::new(io::stderr().is_terminal()))
                .finish(),
        ),
    };
    outcome.map_err(|source| TelemetryError::Twice { source })?;
    Ok(guard)
}

/// The filter asked for: the option, else the variable, else `info`.
fn filter(option: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let variable = std::env::var(FILTER_VARIABLE).ok();
    let (origin, filter) = match (option, variable) {
        (Some(filter), _) => ("--log-level", filter.to_owned()),
        (None, Some(filter)) if !filter.is_empty() => (FILTER_VARIABLE, filter),
        (None, Some(_) | None) => return Ok(EnvFilter::new("info")),
    };
    EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter {
        origin,
        filter,
        source,
    })
}
