//! `traffic`: streams of messages, timed from when each was due and checked byte by byte. All of it
//! is in [`bpf_tests::generator`].

use std::process::ExitCode;

use bpf_tests::generator::cli::{Arguments, run};
use clap::Parser as _;

fn main() -> ExitCode {
    if let Err(error) = run(Arguments::parse()) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
