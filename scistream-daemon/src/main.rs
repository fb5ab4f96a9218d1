//! `s2cs`: parses the command line, runs what it names, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use scistream_daemon::cli::{Args, Command, ForwardArgs, ProbeArgs};
use scistream_daemon::{app, telemetry};

/// Something failed at run time.
const FAILURE: u8 = 1;

/// The command line, or the environment, asks for what there is not; clap exits with the same.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Forward(args) => forward(&args),
        Command::Probe(args) => probe(&args),
    }
}

fn forward(args: &ForwardArgs) -> ExitCode {
    let _log_until_the_end = match telemetry::init(&args.log) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match app::forward(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(FAILURE)
        }
    }
}

fn probe(args: &ProbeArgs) -> ExitCode {
    match app::probe(args) {
        Ok(report) => ExitCode::from(report.status.exit_code()),
        Err(error) => {
            eprintln!("error: cannot print the findings: {error}");
            ExitCode::from(USAGE)
        }
    }
}
