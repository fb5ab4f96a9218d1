//! The user's side: `s2uc`, which sets sessions up on gateways, and `appctrl`, which says hello for
//! an application.
//!
//! ```text
//!   cli ──► access ──► remote ──► control_calls   the protocol every gateway speaks
//!             │          │   └──► gateway_calls   the one that ours speaks besides
//!             │          └── transport, trust     TCP, TLS, whom to believe
//!             └── token ── issuer ── https        who we are
//! ```
//!
//! Nothing waits without end: every command runs under one [`deadline::Deadline`], and what it
//! made is released when it fails half-way.

pub mod access;
pub mod app_controller;
pub mod cli;
pub mod connect;
pub mod control_calls;
pub mod deadline;
pub mod failure;
pub mod gateway_calls;
pub mod https;
pub mod issuer;
pub mod login;
pub mod output;
pub mod release;
pub mod remote;
pub mod requests;
pub mod sessions;
pub mod token;
pub mod transport;
pub mod trust;
pub mod uid;

use std::future::Future;
use std::process::ExitCode;

use cli::{Args, Command};
use failure::{Exit, Failure};
use output::Output;

/// Runs `s2uc`.
pub fn main(args: &Args) -> ExitCode {
    let output = Output::new(args.json);
    finish(&output, run(args, &output))
}

/// Runs one future on a runtime of its own, and turns the outcome into an exit code.
pub(crate) fn finish(output: &Output, work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(work);
            // A name look-up that hangs must not hold up the end.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("cannot start: {error}; see the limits on open files"),
        )),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit().code())
        }
    }
}

async fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Command::CheckAuth(args) => login::check_auth(args, output).await,
        Command::Connect(args) => connect::connect(args, output).await,
        Command::Events(args) => sessions::events(args, output).await,
        Command::InboundRequest(args) => requests::inbound(args, output).await,
        Command::List(args) => sessions::list(args, output).await,
        Command::Login(args) => login::login(args, output).await,
        Command::Logout(args) => login::logout(args, output).await,
        Command::OutboundRequest(args) => requests::outbound(args, output).await,
        Command::ProdReq(args) => requests::producer(args, output).await,
        Command::Release(args) => release::release(args, output).await,
        Command::Show(args) => sessions::show(args, output).await,
        Command::Update(args) => sessions::update(args, output).await,
    }
}
