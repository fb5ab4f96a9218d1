//! `s2cs serve`: settings, the control port, the plane and the sessions, in this order; and the way
//! back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{AppError, Signals, planes};
use crate::audit::{Audit, AuditGuard};
use crate::cli::{DataMover, LogArgs, ServeArgs};
use crate::config::{Layers, Override, Settings};
use crate::connection_log::ConnectionLog;
use crate::control::ControlPort;
use crate::limits;
use crate::listener::Admission;
use crate::metrics::{MetricsPort, Sources};
use crate::session::SavedSession;
use crate::sessions::{Sessions, SessionsConfig, SharedParts, StateFile};

/// Where the file is named when `--config` is not given.
const FILE_VARIABLE: &str = "S2CS_CONFIG";

/// How long connections that were reset at the end get to close.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// How long the end waits for the disk that sessions are kept on.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How `serve` logs: `--verbose` is one level more.
pub(super) fn log(args: &ServeArgs) -> LogArgs {
    let mut log = args.log.clone();
    if args.verbose == Some(true) && log.filter.is_none() {
        log.filter = Some("info,scistream_daemon=debug".to_owned());
    }
    log
}

/// The settings: defaults, file, variables, flags.
pub(super) fn load(config: Option<PathBuf>, flags: Vec<Override>) -> Result<Settings, AppError> {
    let mut layers = Layers::new();
    let file = config.or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path).map_err(|cause| AppError::ConfigFile {
            path: path.clone(),
            cause,
        })?;
        layers.add_file(&path, &text)?;
    }
    let variables = std::env::vars_os();
    layers.add_variables(
        variables.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    )?;
    for flag in flags {
        layers.add_flag(flag)?;
    }
    Ok(layers.into_settings()?)
}

pub(super) async fn serve(args: &ServeArgs) -> Result<(), AppError> {
    let settings = load(args.config.clone(), flags(args))?;
    if args.client_secret.is_some() {
        tracing::warn!(
            "--client_secret can be read by everyone on this host; use client_secret_file in the settings"
        );
    }
    let mut signals = Signals::install()?;
    let port = ControlPort::bind(&settings)?;
    let state = settings.sessions.state.as_deref().map(StateFile::open);
    let state = state.transpose()?;
    let metrics = settings.metrics.listen.map(MetricsPort::bind).transpose()?;
    let sessions = sessions(args, &settings, port.addresses())?;
    if let Some((file, saved)) = state {
        restore(&sessions, file, saved).await;
    }
    let (audit, _written_until_the_end) = audit(&settings)?;
    for listen in port.addresses() {
        tracing::info!(%listen, tls = settings.control.ssl, "control port ready");
    }

    let _answered_until_the_end = metrics.map(|metrics| {
        tracing::info!(listen = %metrics.address(), "metrics port ready");
        metrics.answer(Sources::new(sessions.clone(), port.counts()))
    });

    let (stop, stopping) = oneshot::channel::<()>();
    let serving = port.serve(&settings, sessions.clone(), audit, async {
        // Gone is as good as told.
        let _told = stopping.await;
    });
    let until_told = async {
        let signal = signals.next().await;
        let open = sessions.stop(settings_drain(&settings));
        tracing::info!(signal, sessions = open, "draining");
        // Whoever loses patience with the drain loses no sessions.
        save(&sessions).await;
        let drained = drain(&sessions, &settings, &mut signals).await;
        tracing::info!(drain = drained, "stopped");
        save(&sessions).await;
        drop(stop);
    };
    let (outcome, ()) = tokio::join!(serving, until_told);
    Ok(outcome?)
}

/// Brings back what outlived the last run, before anybody else can have its ports.
async fn restore(sessions: &Sessions, file: StateFile, saved: Vec<SavedSession>) {
    let (path, found) = (file.path().to_owned(), saved.len());
    let restored = sessions.restore(file, saved).await;
    tracing::info!(file = %path.display(), found, restored, "sessions survive in this file");
}

/// Waits until what is kept of the sessions is on the disk.
async fn save(sessions: &Sessions) {
    if timeout(SAVE_TIMEOUT, sessions.all_saved()).await.is_err() {
        tracing::error!("the latest changes of sessions could not be saved in time");
    }
}

/// Waits for the sessions to end: by themselves, by the end of the time, or by a second signal.
async fn drain(sessions: &Sessions, settings: &Settings, signals: &mut Signals) -> &'static str {
    let limit = settings.data.drain_timeout.0 + ABORT_GRACE;
    let outcome = tokio::select! {
        biased;
        () = sessions.all_closed() => return "finished",
        _signal = signals.next() => "interrupted",
        () = tokio::time::sleep(limit) => "timed_out",
    };
    sessions.stop(None);
    // What does not close by then ends with this process.
    let _closed = timeout(ABORT_GRACE, sessions.all_closed()).await;
    outcome
}

fn settings_drain(settings: &Settings) -> Option<Duration> {
    Some(settings.data.drain_timeout.0).filter(|time| !time.is_zero())
}

fn audit(settings: &Settings) -> Result<(Audit, Option<AuditGuard>), AppError> {
    match &settings.audit.file {
        Some(path) => {
            let (audit, guard) = Audit::append_to(path)?;
            Ok((audit, Some(guard)))
        }
        None => Ok((Audit::in_the_log(), None)),
    }
}

fn sessions(
    args: &ServeArgs,
    settings: &Settings,
    control: &[SocketAddr],
) -> Result<Sessions, AppError> {
    let open_files = limits::raise_open_files();
    let plane = planes::start(settings.data.plane.into(), None)?;
    let limit = limits::connections(
        settings.data.max_connections,
        open_files.soft,
        plane.descriptors_per_connection(),
    );
    let shared = SharedParts {
        plane,
        admission: Arc::new(Admission::new(limit.connections)),
        log: Arc::new(ConnectionLog::new(args.log.format)),
    };
    Ok(Sessions::start(
        SessionsConfig::of(settings, control),
        shared,
    ))
}

/// What the flags set.
fn flags(args: &ServeArgs) -> Vec<Override> {
    let ServeArgs {
        config: _,
        listener_ip,
        port,
        port_range,
        plane,
        verbose: _,
        client_id,
        client_secret,
        server_crt,
        server_key,
        ssl,
        advertise,
        port_map,
        log: _,
    } = args;
    let text = |value: &Option<String>| value.clone().map(toml::Value::String);
    // An empty secret is upstream's way to have none.
    let secret = client_secret.clone().filter(|secret| !secret.is_empty());
    let plane = plane.and_then(|plane| match plane {
        DataMover::Plane(name) => Some(toml::Value::String(name.to_owned())),
        DataMover::Upstreams => None,
    });
    let port = port.clone().map(|port| match port.parse() {
        Ok(number) => toml::Value::Integer(number),
        Err(_no_number) => toml::Value::String(port),
    });
    let maps = port_map.iter().cloned().map(toml::Value::String);
    let maps = toml::Value::Array(maps.collect());
    let given = [
        ("control.listener_ip", "--listener_ip", text(listener_ip)),
        ("control.port", "--port", port),
        ("sessions.port_range", "--port_range", text(port_range)),
        ("data.plane", "--type", plane),
        ("auth.client_id", "--client_id", text(client_id)),
        (
            "auth.introspection.client_secret",
            "--client_secret",
            text(&secret),
        ),
        ("control.server_crt", "--server_crt", text(server_crt)),
        ("control.server_key", "--server_key", text(server_key)),
        ("control.ssl", "--ssl", ssl.map(toml::Value::Boolean)),
        ("control.advertise", "--advertise", text(advertise)),
        (
            "control.port_map",
            "--port_map",
            (!port_map.is_empty()).then_some(maps),
        ),
    ];
    let set = given.into_iter().filter_map(|(setting, flag, value)| {
        value.map(|value| Override {
            setting,
            value,
            flag,
        })
    });
    set.collect()
}
