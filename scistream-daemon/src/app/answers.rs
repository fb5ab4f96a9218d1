//! What is answered at once: `s2cs config` and `s2cs policy`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};

use super::{AppError, serve};
use crate::cli::{ConfigCommand, PolicyCommand, PolicyTestArgs, RoleName};
use crate::config::{self, BitRate, ConfigError};
use crate::policy::{Asked, AskedTarget, Decision, Permission, Subject, Who};
use crate::session::Target;

/// Text for standard output, and the exit code that goes with it.
#[derive(Debug)]
pub struct Answer {
    text: String,
    code: u8,
}

impl Answer {
    /// Prints it, and returns the exit code.
    pub fn print(&self) -> u8 {
        let written = std::io::stdout().lock().write_all(self.text.as_bytes());
        written.map_or(1, |()| self.code)
    }
}

/// Runs `s2cs config`.
///
/// # Errors
/// Settings that cannot be used.
pub fn config(command: &ConfigCommand) -> Result<Answer, AppError> {
    let text = match command {
        ConfigCommand::Check(args) => {
            let settings = serve::load(args.config.clone(), Vec::new())?;
            format!("the settings are good; {} rules\n", settings.rules.len())
        }
        ConfigCommand::Default => config::default_file(),
        ConfigCommand::Schema => format!("{:#}\n", config::schema()),
    };
    Ok(Answer { text, code: 0 })
}

/// Runs `s2cs policy`.
///
/// # Errors
/// Settings or a question that cannot be used.
pub fn policy(command: &PolicyCommand) -> Result<Answer, AppError> {
    let PolicyCommand::Test(args) = command;
    let policy = serve::load(args.config.clone(), Vec::new())?.policy();
    let caller = caller(&args.callers)?;
    let asked = asked(args)?;
    let decision = policy.decide(&caller, &asked);
    Ok(explain(&decision, policy.rules.is_empty()))
}

fn explain(decision: &Decision, has_no_rules: bool) -> Answer {
    let mut text = String::new();
    let Decision {
        outcome,
        considered,
    } = decision;
    for (rule, denial) in considered {
        // Writing to a String does not fail.
        let _infallible = writeln!(text, "  {rule}: no, {denial}");
    }
    let code = match outcome {
        Ok(_) if has_no_rules => {
            text.push_str(
                "granted: there are no rules, so everyone who is known may have sessions\n",
            );
            0
        }
        Ok(grant) => {
            let rule = grant.rule.as_deref().unwrap_or_default();
            let _infallible = writeln!(text, "  {rule}: yes\ngranted by {rule}");
            0
        }
        Err(_) => {
            text.push_str("denied: no rule grants it\n");
            1
        }
    };
    Answer { text, code }
}

fn caller(names: &[String]) -> Result<Subject, ConfigError> {
    let mut callers = Vec::new();
    for name in names {
        let who: Who = name
            .parse()
            .map_err(|error| refused("--as", name, &error))?;
        callers.push(who.example());
    }
    let mut callers = callers.into_iter();
    let mut caller = callers.next().unwrap_or_else(Subject::anonymous);
    for other in callers {
        caller.identities.extend(other.identities);
        caller.groups.extend(other.groups);
        caller.domains.extend(other.domains);
    }
    Ok(caller)
}

fn asked(args: &PolicyTestArgs) -> Result<Asked, ConfigError> {
    let rate = args.rate.as_ref().map(|text| {
        let rate: Result<BitRate, _> = text.parse();
        rate.map_err(|error| refused("--rate", text, &error))
    });
    let sources = args.source.iter().map(|text| {
        text.parse()
            .map_err(|error| refused("--source", text, &error))
    });
    Ok(Asked {
        permission: match args.role {
            RoleName::Consumer => Permission::Consumer,
            RoleName::Producer => Permission::Producer,
        },
        listeners: args.listeners,
        rate_bps: rate.transpose()?.map_or(0, |BitRate(rate)| rate),
        lifetime: None,
        sources: sources.collect::<Result<_, _>>()?,
        targets: args
            .target
            .iter()
            .map(|text| target(text))
            .collect::<Result<_, _>>()?,
    })
}

fn target(text: &str) -> Result<AskedTarget, ConfigError> {
    let target: Target = text
        .parse()
        .map_err(|error| refused("--target", text, &error))?;
    let name = target.literal().is_none().then(|| target.host().to_owned());
    let addresses = (target.host(), target.port()).to_socket_addrs();
    // A name without address may still be allowed by name.
    let addresses = addresses.map(|found| found.map(|address: SocketAddr| address.ip()).collect());
    Ok(AskedTarget {
        name,
        addresses: addresses.unwrap_or_default(),
        port: target.port(),
    })
}

fn refused(flag: &str, value: &str, problem: &dyn std::error::Error) -> ConfigError {
    ConfigError::Value {
        origin: flag.to_owned(),
        value: value.to_owned(),
        problem: problem.to_string(),
    }
}
