//! `appctrl`: the application's controller, which says hello to a gateway when its application is
//! there, so that a session waiting in `req` goes on.

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use serde_json::json;

use super::access::One;
use super::cli::{Ports, TargetList};
use super::control_calls;
use super::failure::{Exit, Failure};
use super::output::{Output, listed};
use super::remote::Remote;
use crate::wire::scistream::{AppResponse, Hello};

/// How often a hello is said before giving up, and the pause between: upstream's figures.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Says hello to a gateway for an application.
#[derive(Debug, Parser)]
#[command(
    name = "appctrl",
    version,
    max_term_width = 100,
    disable_version_flag = true
)]
pub struct Args {
    /// Print results, and failures, as JSON.
    #[arg(long, global = true)]
    json: bool,

    /// Print the version.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say hello, up to five times, until the gateway knows the session.
    Hello(Box<HelloArgs>),
}

#[derive(Debug, clap::Args)]
struct HelloArgs {
    /// The session's uid, as `s2uc` printed it.
    uid: String,

    /// Which side the application is on.
    #[arg(value_enum, ignore_case = true, default_value = "prod")]
    role: AppRole,

    /// Where a producer listens: `host:port`, separated by commas. By default upstream's five ports
    /// on --host.
    #[arg(
        long = "listener",
        visible_alias = "prod_listeners",
        value_name = "HOST:PORT,…"
    )]
    listener: Vec<TargetList>,

    /// The host of upstream's five ports, as the gateway reaches it.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,

    #[command(flatten)]
    one: One,
}

/// Which side an application is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum AppRole {
    /// It connects.
    Cons,
    /// It listens.
    Prod,
}

impl AppRole {
    fn on_wire(self) -> &'static str {
        match self {
            Self::Cons => "CONS",
            Self::Prod => "PROD",
        }
    }
}

/// Runs `appctrl`.
pub fn main(args: &Args) -> ExitCode {
    let output = Output::new(args.json);
    let Command::Hello(hello) = &args.command;
    super::finish(&output, say_hello(hello, &output))
}

async fn say_hello(args: &HelloArgs, output: &Output) -> Result<(), Failure> {
    let (remote, deadline) = args.one.open(output).await?;
    let listeners = listeners(args)?;
    let hello = Hello {
        uid: args.uid.clone(),
        prod_listeners: listeners,
        role: args.role.on_wire().to_owned(),
    };
    let doing = || format!("hello at the gateway {}", remote.host());
    let answer = deadline
        .bound(doing, repeat(&remote, &hello, deadline))
        .await??;
    output.line("Hello message sent successfully");
    if args.role == AppRole::Cons {
        output.line(&format!("Listeners: {}", listed(&answer.listeners)));
    }
    output.json(&json!({
        "uid": args.uid,
        "role": args.role.on_wire(),
        "message": answer.message,
        "listeners": answer.listeners,
    }));
    Ok(())
}

async fn repeat(
    remote: &Remote,
    hello: &Hello,
    deadline: super::deadline::Deadline,
) -> Result<AppResponse, Failure> {
    let mut attempt = 1;
    loop {
        match control_calls::hello(remote, hello.clone(), deadline).await {
            // The user's request may be on its way still.
            Err(failure) if failure.exit() == Exit::NotFound && attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

fn listeners(args: &HelloArgs) -> Result<Vec<String>, Failure> {
    if args.role == AppRole::Cons {
        return Ok(Vec::new());
    }
    if !args.listener.is_empty() {
        return Ok(args
            .listener
            .iter()
            .flat_map(TargetList::to_strings)
            .collect());
    }
    let ports: Ports = "5074,5075,5076,37000,47000"
        .parse()
        .map_err(|why| Failure::new(Exit::Failed, why))?;
    Ok(ports.of(&args.host))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_contradict_nothing() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_consumer_has_no_listeners_and_a_producer_its_own_or_upstreams() {
        let of = |line: &str| {
            let args = Args::try_parse_from(line.split_whitespace()).unwrap();
            let Command::Hello(hello) = args.command;
            listeners(&hello).unwrap()
        };
        assert_eq!(of("appctrl hello uid CONS"), Vec::<String>::new());
        assert_eq!(
            of("appctrl hello uid PROD --listener a:1,b:2 --listener c:3"),
            ["a:1", "b:2", "c:3"]
        );
        assert_eq!(of("appctrl hello uid --host 10.0.0.2")[0], "10.0.0.2:5074");
    }
}
