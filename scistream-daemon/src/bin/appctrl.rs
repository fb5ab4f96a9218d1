//! `appctrl`: says hello to a gateway for an application; parses the command line and turns the
//! outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use scistream_daemon::user::app_controller::{self, Args};

fn main() -> ExitCode {
    app_controller::main(&Args::parse())
}
