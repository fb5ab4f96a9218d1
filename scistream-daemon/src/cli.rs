//! The command line of `s2cs`: what an operator may ask for, parsed once into values.

mod config;
mod serve;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

pub use config::{ConfigCheckArgs, ConfigCommand, PolicyCommand, PolicyTestArgs, RoleName};
pub use serve::{DataMover, ServeArgs, with_dashes};
pub use values::{HostPort, LogFormat, TimeLimit, ValueError};

use crate::dataplane::PlaneChoice;
use crate::dataplane::congestion::CongestionControl;
use crate::init::InitArgs;

/// What `--help` ends with.
const HOW_TO_BEGIN: &str = "\
To begin: `s2cs init` makes certificates, a token and settings, and prints the two commands to try.
Flags may be written with underscores, as upstream's are. What is not given by a flag comes from the
variables S2CS_…, then from the settings file, then it is the default; `s2cs config default` prints
all settings and what they mean.";

/// SciStream's gateway: relays TCP in the kernel and loses nothing.
#[derive(Debug, Parser)]
#[command(
    name = "s2cs",
    version,
    after_help = HOW_TO_BEGIN,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub struct Args {
    /// What to do; `serve` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// What `serve` takes.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Relay every connection accepted on the listeners to the targets, until SIGTERM or SIGINT.
    Forward(Box<ForwardArgs>),
    /// Make what a gateway needs: certificates, a token, settings, and the two commands to try.
    Init(InitArgs),
    /// Serve SciStream's control protocol: sessions on demand. This is what `s2cs` alone does.
    Serve(Box<ServeArgs>),
    /// The settings file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The rules of who may do what.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Say what this host can do and what holds it back; exits 0 (ok), 1 (warnings) or 2 (failures).
    Probe(ProbeArgs),
}

/// `s2cs forward`.
#[derive(ClapArgs, Clone, Debug)]
pub struct ForwardArgs {
    /// Where to accept: an address or host name with a port, 0 for any free one; repeatable. `[::]`
    /// takes IPv6 only, so give 0.0.0.0 beside it for both.
    #[arg(long, required = true, value_name = "HOST:PORT")]
    pub listen: Vec<HostPort>,

    /// Where to relay to; repeatable. Connections take the targets in turn, and the next one when a
    /// target cannot be reached.
    #[arg(long, required = true, value_name = "HOST:PORT")]
    pub target: Vec<HostPort>,

    /// How bytes move. `auto` takes what this host can do and each flow is best served by; the
    /// others insist.
    #[arg(long, value_enum, default_value_t)]
    pub plane: PlaneChoice,

    /// Connections open at once; further ones wait in the kernel until one closes. The default is
    /// what the limit on open files allows, at most 65,536.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// How long one connection may spend on reaching a target, over all addresses tried.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub connect_timeout: Duration,

    /// End a connection when no byte has moved for this long; `off` for never.
    #[arg(long, value_name = "TIME", default_value = "off")]
    pub idle_timeout: TimeLimit,

    /// Silence after which the kernel asks whether a peer still lives, six times within as long
    /// again; `off` for never.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = values::keepalive)]
    pub keepalive: TimeLimit,

    /// Send buffer of both sockets in bytes (64k and 4M are understood); by default the kernel tunes
    /// it.
    #[arg(long, value_name = "BYTES", value_parser = values::buffer_size)]
    pub sndbuf: Option<usize>,

    /// Receive buffer of both sockets, likewise.
    #[arg(long, value_name = "BYTES", value_parser = values::buffer_size)]
    pub rcvbuf: Option<usize>,

    /// `auto` begins with the system's, and gives a stream bbr that loses packets on a long path
    /// though no queue there is full; `system` leaves it at that.
    #[arg(long, value_enum, default_value_t)]
    pub congestion_control: CongestionControl,

    /// How long open connections may go on after SIGTERM or SIGINT, before they are reset; `off` for
    /// as long as they like.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub drain_timeout: TimeLimit,

    /// Also take what applications in this cgroup (v2 path) send from this very host straight out of
    /// their send calls. Not for programs that read and write one socket from two threads by
    /// blocking calls: their reads may answer EAGAIN.
    #[arg(long, value_name = "CGROUP")]
    pub local_apps: Option<PathBuf>,

    /// Log the totals this often; `off` for never.
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = values::interval)]
    pub stats_interval: TimeLimit,

    /// How to log, to standard error.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How to log.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct LogArgs {
    /// `text` for people, `json` for one flat object a line.
    #[arg(long = "log-format", value_enum, default_value_t)]
    pub format: LogFormat,

    /// What to log: a level (error, warn, info, debug, trace) or a filter such as
    /// `info,scistream_daemon::listener=debug`. [env: S2CS_LOG] [default: info]
    #[arg(long = "log-level", value_name = "FILTER")]
    pub filter: Option<String>,
}

/// `s2cs probe`.
#[derive(ClapArgs, Debug)]
pub struct ProbeArgs {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}
