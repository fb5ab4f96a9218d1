//! `s2cs`: parses the command line, runs what it names, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use scistream_daemon::cli::{Args, Command, ProbeArgs, with_dashes};
use scistream_daemon::init::InitArgs;
use scistream_daemon::{app, telemetry};

/// Something failed at run time.
const FAILURE: u8 = 1;

/// The command line, or the environment, asks for what there is not; clap exits with the same.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Args { command, serve } = Args::parse_from(with_dashes(std::env::args_os()));
    match command {
        None => run(app::Job::Serve(&serve)),
        Some(Command::Serve(args)) => run(app::Job::Serve(&args)),
        Some(Command::Forward(args)) => run(app::Job::Forward(&args)),
        Some(Command::Init(args)) => init(&args),
        Some(Command::Config(command)) => answer(app::config(&command)),
        Some(Command::Policy(command)) => answer(app::policy(&command)),
        Some(Command::Probe(args)) => probe(&args),
    }
}

/// Runs until told to stop, with a log.
fn run(job: app::Job<'_>) -> ExitCode {
    let _log_until_the_end = match telemetry::init(&job.log()) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match job.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(FAILURE)
        }
    }
}

/// Prints what was asked for.
fn answer(answer: Result<app::Answer, app::AppError>) -> ExitCode {
    match answer {
        Ok(answer) => ExitCode::from(answer.print()),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILURE)
        }
    }
}

fn init(args: &InitArgs) -> ExitCode {
    match scistream_daemon::init::init(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
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
