//! The only place that knows every component: what starts in which order, and stops in which.
//!
//! ```text
//!   bind ── plane ── admission ── accept … signal ── close listeners ── drain ── stop
//! ```

mod answers;
mod planes;
mod serve;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::audit::AuditError;
use crate::cli::{ForwardArgs, HostPort, LogArgs, ProbeArgs, ServeArgs};
use crate::config::ConfigError;
use crate::connection_log::ConnectionLog;
use crate::control::ControlError;
use crate::dataplane::choose::Decline;
use crate::dataplane::engine::EngineError;
use crate::dataplane::{PlaneChoice, RelayTerms};
use crate::drain;
use crate::errors::InFull;
use crate::limits;
use crate::listener::{
    Accepting, Admission, BindError, Dialer, Gateway, Listener, OwnListeners, ResolveError, Route,
    RouteTerms, SocketOptions, Targets, bind_all,
};
use crate::metrics::MetricsError;
use crate::probe;
use crate::probe::report::Report;
use crate::sessions::StateError;
use crate::stats;
use crate::sys::rlimit::OpenFiles;
pub use answers::{Answer, config, policy};
use planes::LocalApps;

/// Threads that accept and dial; the planes have their own. More than a few only take the cores
/// from those, and wake each other up.
const SHELL_THREADS_MAX: usize = 4;

/// Why the gateway could not start, or stopped; each displays as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Control calls cannot be recorded.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A listener could not be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The settings file cannot be read.
    #[error("cannot read {}: {cause}; check the path and its permissions", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The control port cannot be had.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The metrics port cannot be had.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A plane was insisted on that this host cannot offer.
    #[error("{0}; or use --plane auto")]
    Decline(#[from] Decline),
    /// The data plane's threads did not start.
    #[error("{}; see the limits on threads and open files", InFull(.0))]
    Engine(#[from] EngineError),
    /// The same-host hop cannot be had.
    #[error("--local-apps cannot use {}: {}; give the directory of a cgroup v2", cgroup.display(), InFull(&**cause))]
    LocalApps {
        /// What was given.
        cgroup: PathBuf,
        /// What refused it.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The same-host hop was asked for without the plane it belongs to.
    #[error(
        "--local-apps needs the sockmap plane, which this gateway does not run on; see `s2cs probe`"
    )]
    LocalAppsWithoutSockmap,
    /// The runtime could not be set up.
    #[error("cannot set up {what}: {cause}; see the limits on threads and open files")]
    Runtime {
        /// What was to be set up.
        what: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The file in which sessions survive cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// A target's name has no address.
    #[error(transparent)]
    Target(#[from] ResolveError),
}

/// What runs until it is told to stop.
#[derive(Clone, Copy, Debug)]
pub enum Job<'a> {
    /// `s2cs forward`.
    Forward(&'a ForwardArgs),
    /// `s2cs serve`.
    Serve(&'a ServeArgs),
}

impl Job<'_> {
    /// How it logs.
    pub fn log(&self) -> LogArgs {
        match self {
            Self::Forward(args) => args.log.clone(),
            Self::Serve(args) => serve::log(args),
        }
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn run(&self) -> Result<(), AppError> {
        match self {
            Self::Forward(args) => on_threads(forward(args)),
            Self::Serve(args) => on_threads(serve::serve(args)),
        }
    }
}

fn on_threads(job: impl Future<Output = Result<(), AppError>>) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((planes::cores() / 2).clamp(1, SHELL_THREADS_MAX))
        .thread_name("s2cs-shell")
        .enable_all()
        .build()
        .map_err(|cause| AppError::Runtime {
            what: "threads",
            cause,
        })?;
    let outcome = runtime.block_on(job);
    // A look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Runs `s2cs probe`: prints the findings, and returns them for the exit code.
///
/// # Errors
/// When standard output cannot be written.
pub fn probe(args: &ProbeArgs) -> io::Result<Report> {
    let (host, _program) = planes::try_everything(PlaneChoice::Auto);
    let report = probe::report(&host);
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &report)?;
        writeln!(out)?;
    } else {
        out.write_all(report.to_table(out.is_terminal()).as_bytes())?;
    }
    out.flush()?;
    Ok(report)
}

async fn forward(args: &ForwardArgs) -> Result<(), AppError> {
    let mut signals = Signals::install()?;
    let open_files = limits::raise_open_files();
    let options = SocketOptions {
        keepalive: args.keepalive.0,
        receive_buffer: args.rcvbuf,
        send_buffer: args.sndbuf,
    };
    let listeners = bind_all(&args.listen, &options)?;
    let ports = listeners
        .iter()
        .map(|listener| listener.address.port())
        .collect();
    let targets = Arc::new(Targets::resolve(&args.target)?);
    let gateway = gateway(args, open_files, ports)?;
    let own = Arc::new(OwnListeners::default());
    let dialer = Dialer::new(options, args.connect_timeout, Arc::clone(&own));
    let route = Arc::new(Route::new(gateway.clone(), terms(args), dialer));
    let accepting = accept_on(listeners, targets, &own, &route)?;
    if let Some(interval) = args.stats_interval.0 {
        tokio::spawn(stats::report_every(interval, Arc::new(gateway.clone())));
    }

    let signal = signals.next().await;
    accepting.stop().await;
    tracing::info!(signal, connections = gateway.admission.open(), "draining");
    let interrupted = async {
        signals.next().await;
    };
    let drained = drain::drain(&route, args.drain_timeout.0, interrupted).await;
    tracing::info!(
        connections_total = gateway.admission.admitted(),
        drain = drained.as_str(),
        "stopped"
    );
    Ok(())
}

fn gateway(
    args: &ForwardArgs,
    open_files: OpenFiles,
    mut ports: Vec<u16>,
) -> Result<Gateway, AppError> {
    ports.extend(args.target.iter().map(HostPort::port));
    let local_apps = args
        .local_apps
        .as_deref()
        .map(|cgroup| LocalApps { cgroup, ports });
    let plane = planes::start(args.plane, local_apps)?;
    let limit = limits::connections(
        args.max_connections,
        open_files.soft,
        plane.descriptors_per_connection(),
    );
    if limit.connections > limit.fitting {
        tracing::warn!(
            asked = limit.connections,
            fitting = limit.fitting,
            open_files = open_files.soft,
            "--max-connections is more than the limit on open files is sure to allow; raise it (ulimit -n)"
        );
    }
    Ok(Gateway::new(
        plane,
        Arc::new(Admission::new(limit.connections)),
        Arc::new(ConnectionLog::new(args.log.format)),
    ))
}

fn terms(args: &ForwardArgs) -> RouteTerms {
    RouteTerms {
        relay: RelayTerms {
            idle_timeout: args.idle_timeout.0,
            congestion_control: args.congestion_control,
        },
        ..RouteTerms::default()
    }
}

fn accept_on(
    listeners: Vec<Listener>,
    targets: Arc<Targets>,
    own: &OwnListeners,
    route: &Arc<Route>,
) -> Result<Accepting, AppError> {
    let (_set_once, aim) = watch::channel(Some(targets));
    let mut accepting = Accepting::new();
    for listener in listeners {
        let listen = listener.address;
        own.add(listen);
        let added = accepting.add(listener, aim.clone(), route);
        added.map_err(|cause| AppError::Runtime {
            what: "accepting",
            cause,
        })?;
        tracing::info!(%listen, "listening");
    }
    Ok(accepting)
}

/// What tells the gateway to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> Result<Self, AppError> {
        let install = |kind| {
            signal(kind).map_err(|cause| AppError::Runtime {
                what: "signal handling",
                cause,
            })
        };
        Ok(Self {
            interrupt: install(SignalKind::interrupt())?,
            terminate: install(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
