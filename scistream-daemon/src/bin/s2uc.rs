//! `s2uc`: the user's end of SciStream; parses the command line and turns the outcome into an exit
//! code.

use std::process::ExitCode;

use clap::Parser;
use scistream_daemon::user;
use scistream_daemon::user::cli::Args;

fn main() -> ExitCode {
    user::main(&Args::parse())
}
