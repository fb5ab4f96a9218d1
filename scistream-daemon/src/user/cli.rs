//! The command line of `s2uc`: upstream's commands with their spellings, and ours beside them.

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};

pub use values::{Ports, TargetList};
pub(crate) use values::{boolean, rate, time};

use super::access::{Access, One};
use super::token::DEFAULT_SCOPE;
use crate::cli::HostPort;

/// What `--help` ends with.
const EXIT_CODES: &str = "\
To begin: s2uc connect --producer GATEWAY1:5000 --consumer GATEWAY2:5000 --target HOST:PORT --ca ca.crt \
--token-file token, and let the application connect to what that prints.

Exit codes: 0 done, 1 failed, 2 usage, 3 token missing or refused, 4 not \
allowed, 5 gateway or issuer not reached, 6 took too long, 7 no port, bandwidth or quota left, 8 no \
such session, 9 the session exists, 10 a value was refused, 11 not offered by this gateway, 130 \
stopped by Ctrl-C.";

/// Sets up streaming sessions between an application that listens (the producer) and one that
/// connects (the consumer), by way of the gateways beside them.
#[derive(Debug, Parser)]
#[command(name = "s2uc", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(disable_version_flag = true)]
pub struct Args {
    /// Print results, and failures, as JSON: one object a line.
    #[arg(long, global = true)]
    pub json: bool,

    /// Print the version.
    #[arg(short = 'v', long, action = ArgAction::Version)]
    pub version: Option<bool>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether there is a token, and for how long.
    #[command(alias = "check_auth")]
    CheckAuth(CheckAuthArgs),
    /// Set a session up on both gateways at once; if either fails, nothing is left on the other.
    Connect(Box<ConnectArgs>),
    /// Tell what happens to sessions, as it happens, until Ctrl-C.
    Events(EventsArgs),
    /// The producer's side by itself: make a session, say hello for the application, start it.
    #[command(alias = "inbound_request")]
    InboundRequest(InboundArgs),
    /// List our sessions on a gateway.
    List(ListArgs),
    /// Get a token from the issuer, with the browser's help.
    Login(LoginArgs),
    /// Give all tokens back to the issuer and forget them.
    Logout(LogoutArgs),
    /// The consumer's side by itself, for the uid and listeners that the producer's side printed.
    #[command(alias = "outbound_request")]
    OutboundRequest(OutboundArgs),
    /// The producer's side, for an application that says hello by itself (see `appctrl`).
    #[command(alias = "prod_req")]
    ProdReq(ProdReqArgs),
    /// End a session.
    Release(ReleaseArgs),
    /// Show one session and its connections.
    Show(ShowArgs),
    /// Give a session other targets; connections that are open stay where they are.
    Update(UpdateArgs),
}

/// What upstream's request commands share.
#[derive(ClapArgs, Clone, Debug)]
pub struct RequestArgs {
    /// How many listeners.
    #[arg(
        long = "num_conn",
        visible_alias = "num-conn",
        value_name = "N",
        default_value_t = 5
    )]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=65_535))]
    pub num_conn: i32,

    /// What the session reserves, in kB/s.
    #[arg(long, value_name = "KB/S", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(i32).range(0..))]
    pub rate: i32,

    /// Print the token in the place that upstream's line has for it.
    #[arg(long = "show-token", visible_alias = "show_token")]
    pub show_token: bool,
}

/// Where the application listens.
#[derive(ClapArgs, Clone, Debug)]
pub struct ReceiverArgs {
    /// The application's host, as the gateway reaches it.
    #[arg(long = "remote_ip", visible_alias = "remote-ip", value_name = "HOST")]
    #[arg(default_value = "localhost")]
    pub remote_ip: String,

    /// The application's ports.
    #[arg(
        long = "receiver_ports",
        visible_alias = "receiver-ports",
        value_name = "PORT,…"
    )]
    #[arg(default_value = "5074,5075,5076,37000,47000")]
    pub receiver_ports: Ports,
}

/// Take the uid of upstream's demonstrations.
#[derive(ClapArgs, Clone, Copy, Debug)]
pub struct MockArgs {
    /// Use the uid of upstream's demonstrations instead of a fresh one.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value = "false")]
    #[arg(default_missing_value = "true", action = ArgAction::Set, value_parser = boolean)]
    pub mock: bool,
}

/// `s2uc inbound-request`.
#[derive(ClapArgs, Debug)]
pub struct InboundArgs {
    /// What is requested.
    #[command(flatten)]
    pub request: RequestArgs,
    /// Where to.
    #[command(flatten)]
    pub receiver: ReceiverArgs,
    /// The uid.
    #[command(flatten)]
    pub mock: MockArgs,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc prod-req`. It waits for as long as upstream's gateways wait for a hello, and a moment more,
/// so that theirs is the answer.
#[derive(ClapArgs, Debug)]
#[command(mut_arg("timeout", |timeout| timeout.default_value("185s")))]
pub struct ProdReqArgs {
    /// What is requested.
    #[command(flatten)]
    pub request: RequestArgs,
    /// The uid.
    #[command(flatten)]
    pub mock: MockArgs,
    /// Of which gateway.
    #[command(flatten)]
    #[command(next_help_heading = None)]
    pub one: One,
}

/// `s2uc outbound-request`. Without `--s2cs` it takes another port than the others do: upstream's
/// tutorial has both gateways on one host.
#[derive(ClapArgs, Debug)]
#[command(mut_arg("s2cs", |s2cs| s2cs.default_value("localhost:6000")))]
pub struct OutboundArgs {
    /// The uid that the producer's side printed.
    pub uid: String,
    /// The listeners that it printed: `host:port`, separated by commas.
    pub prod_lstn: TargetList,
    /// What is requested.
    #[command(flatten)]
    pub request: RequestArgs,
    /// What upstream's hello carries; the consumer's gateway has no use for it.
    #[command(flatten)]
    pub receiver: ReceiverArgs,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc release`.
#[derive(ClapArgs, Debug)]
pub struct ReleaseArgs {
    /// The session.
    pub uid: String,
    /// The producer's gateway, for a session of `s2uc connect`.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "s2cs")]
    pub producer: Option<HostPort>,
    /// The consumer's gateway, likewise.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "s2cs")]
    pub consumer: Option<HostPort>,
    /// How long open connections may go on; without it they are cut at once.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub drain: Option<Duration>,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc list`.
#[derive(ClapArgs, Debug)]
pub struct ListArgs {
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc show`.
#[derive(ClapArgs, Debug)]
pub struct ShowArgs {
    /// The session.
    pub uid: String,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc update`.
#[derive(ClapArgs, Debug)]
pub struct UpdateArgs {
    /// The session.
    pub uid: String,
    /// Where its listeners are to send to; repeatable, or separated by commas. Listeners take them in
    /// turn.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub target: Vec<TargetList>,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc events`.
#[derive(ClapArgs, Debug)]
pub struct EventsArgs {
    /// The session; all of ours without it.
    pub uid: Option<String>,
    /// Of which gateway.
    #[command(flatten)]
    pub one: One,
}

/// `s2uc connect`.
#[derive(ClapArgs, Debug)]
pub struct ConnectArgs {
    /// The control address of the gateway beside the application that listens.
    #[arg(long, value_name = "HOST:PORT")]
    pub producer: HostPort,
    /// The control address of the gateway beside the application that connects.
    #[arg(long, value_name = "HOST:PORT")]
    pub consumer: HostPort,
    /// Where the application listens, as the producer's gateway reaches it; repeatable, or
    /// separated by commas. Listeners take them in turn.
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub target: Vec<TargetList>,
    /// How many listeners on each gateway; as many as targets by default.
    #[arg(long = "num-conn", visible_alias = "num_conn", value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub num_conn: Option<u16>,
    /// The rate to reserve: 500M, 10G (bits per second). Nothing by default.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<u64>,
    /// The rate not to exceed, likewise. No limit by default.
    #[arg(long = "max-rate", value_name = "RATE", value_parser = rate)]
    pub max_rate: Option<u64>,
    /// What people call the session.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
    /// How long the session may last.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub lifetime: Option<Duration>,
    /// End the session when no byte has moved for this long.
    #[arg(long = "idle-timeout", value_name = "TIME", value_parser = time)]
    pub idle_timeout: Option<Duration>,
    /// Who may connect to the consumer's gateway: an address or network; repeatable.
    #[arg(long, value_name = "CIDR")]
    pub source: Vec<String>,
    /// Who may connect to the producer's gateway, likewise: where the consumer's gateway comes from.
    #[arg(long = "wan-source", value_name = "CIDR")]
    pub wan_source: Vec<String>,
    /// The session's name; a fresh one that nobody can guess by default.
    #[arg(long, value_name = "UID")]
    pub uid: Option<String>,
    /// Run again with the same key and options, the command finds the session that it made before
    /// instead of making another: for scripts that try again. Without it each run has a key of its
    /// own, for its own second try.
    #[arg(
        long = "idempotency-key",
        visible_alias = "idempotency_key",
        value_name = "KEY"
    )]
    pub idempotency_key: Option<String>,
    /// What differs between the two gateways.
    #[command(flatten)]
    pub sides: SideArgs,
    /// How to reach both.
    #[command(flatten)]
    pub access: Access,
    /// How long the whole may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,
}

/// What may differ between the two gateways of `s2uc connect`.
#[derive(ClapArgs, Clone, Debug)]
pub struct SideArgs {
    /// As --ca, for the producer's gateway.
    #[arg(long = "producer-ca", value_name = "FILE")]
    pub producer_ca: Option<PathBuf>,
    /// As --token-file, for the producer's gateway.
    #[arg(long = "producer-token-file", value_name = "FILE")]
    pub producer_token_file: Option<PathBuf>,
    /// As --scope, for the producer's gateway.
    #[arg(long = "producer-scope", value_name = "ID")]
    pub producer_scope: Option<String>,
    /// As --ca, for the consumer's gateway.
    #[arg(long = "consumer-ca", value_name = "FILE")]
    pub consumer_ca: Option<PathBuf>,
    /// As --token-file, for the consumer's gateway.
    #[arg(long = "consumer-token-file", value_name = "FILE")]
    pub consumer_token_file: Option<PathBuf>,
    /// As --scope, for the consumer's gateway.
    #[arg(long = "consumer-scope", value_name = "ID")]
    pub consumer_scope: Option<String>,
}

/// Where tokens come from.
#[derive(ClapArgs, Clone, Debug)]
pub struct IssuerArgs {
    /// The token issuer.
    #[arg(long, value_name = "URL", default_value = super::issuer::GLOBUS, env = "S2UC_ISSUER")]
    pub issuer: String,
    /// Who we are to the issuer.
    #[arg(long = "client-id", visible_alias = "client_id", value_name = "ID")]
    #[arg(default_value = super::issuer::CLIENT_ID)]
    pub client_id: String,
    /// Certificates to believe the issuer by, PEM; the system's authorities by default.
    #[arg(long = "issuer-ca", value_name = "FILE")]
    pub issuer_ca: Option<PathBuf>,
}

/// `s2uc login`.
#[derive(ClapArgs, Debug)]
pub struct LoginArgs {
    /// The gateway's id at the issuer.
    #[arg(long, value_name = "ID", default_value = DEFAULT_SCOPE)]
    pub scope: String,
    /// Where tokens come from.
    #[command(flatten)]
    pub issuer: IssuerArgs,
    /// How long each answer of the issuer may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,
}

/// `s2uc logout`.
#[derive(ClapArgs, Debug)]
pub struct LogoutArgs {
    /// How long each answer of the issuer may take.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,
}

/// `s2uc check-auth`.
#[derive(ClapArgs, Debug)]
pub struct CheckAuthArgs {
    /// A gateway, whose usual scope is taken.
    #[arg(long, value_name = "HOST")]
    pub ip: Option<String>,
    /// The gateway's id at the issuer.
    #[arg(long, value_name = "ID", default_value = DEFAULT_SCOPE)]
    pub scope: String,
    /// Print the token itself.
    #[arg(long = "show-token", visible_alias = "show_token")]
    pub show_token: bool,
    /// How long the issuer may take to renew it.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_options_contradict_nothing() {
        Args::command().debug_assert();
    }

    #[test]
    fn upstreams_command_lines_are_understood() {
        for line in [
            "s2uc inbound-request --num_conn 5 --rate 10000 --s2cs gw:5000 --server_cert server.crt --scope x --remote_ip 10.0.0.2 --receiver_ports 5074,5075",
            "s2uc inbound-request --mock True",
            "s2uc inbound-request --remote-ip 10.0.0.2 --num-conn 2 --mock",
            "s2uc prod-req --mock=False --s2cs 127.0.0.1:5000",
            "s2uc outbound-request --s2cs 127.0.0.1:6000 UID 10.0.0.1:5100,10.0.0.1:5101",
            "s2uc outbound_request UID 10.0.0.1:5100 --receiver_ports 5074",
            "s2uc release UID --s2cs localhost:5000 --server_cert server.crt",
            "s2uc login --scope x",
            "s2uc check-auth --ip 127.0.0.1",
            "s2uc logout",
        ] {
            assert!(
                parse(line).is_ok(),
                "{line}: {}",
                parse(line).err().unwrap()
            );
        }
    }

    #[test]
    fn the_consumers_side_has_upstreams_own_default_for_its_gateway() {
        let at = |line: &str| {
            let Command::OutboundRequest(args) = parse(line).unwrap().command else {
                panic!("{line}");
            };
            args.one.s2cs.to_string()
        };
        assert_eq!(at("s2uc outbound-request UID h:1"), "localhost:6000");
        assert_eq!(at("s2uc outbound-request UID h:1 --s2cs g:5"), "g:5");
        let Command::InboundRequest(args) = parse("s2uc inbound-request").unwrap().command else {
            panic!("it is one");
        };
        assert_eq!(args.one.s2cs.to_string(), "localhost:5000");
    }

    #[test]
    fn whoever_waits_for_an_application_waits_as_long_as_the_gateway_does() {
        let Command::ProdReq(args) = parse("s2uc prod-req").unwrap().command else {
            panic!("it is one");
        };
        assert!(args.one.timeout > Duration::from_secs(180));
    }

    #[test]
    fn help_begins_with_what_this_program_does() {
        let help = Args::command().render_help().to_string();
        assert!(help.starts_with("Sets up streaming sessions"), "{help}");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "s2uc inbound-request --num_conn 0",
            "s2uc inbound-request --rate -1",
            "s2uc inbound-request --receiver_ports 80,,90",
            "s2uc connect --producer a:1 --consumer b:1",
            "s2uc connect --producer a:1 --consumer b:1 --target nowhere",
            "s2uc release UID --producer a:1 --s2cs b:1",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
