//! Starting the data plane: asks the host, chooses, says so, and starts what was chosen.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::param::page_size;

use super::AppError;
use crate::dataplane::PlaneChoice;
use crate::dataplane::choose::{Chosen, choice_name, choose};
use crate::dataplane::copy::CopyPlane;
use crate::dataplane::engine::{Engine, EngineConfig, WIDE_PIPE_BYTES};
use crate::dataplane::plane::StreamPlane;
use crate::dataplane::self_test;
use crate::dataplane::sockmap::{Program, embedded_object};
use crate::errors::InFull;
use crate::limits;
use crate::probe::{Capabilities, SockmapTest};
use crate::sys::heap;

/// Starts the plane asked for, or the best this host can do.
pub(super) fn start(
    asked: PlaneChoice,
    local_apps: Option<LocalApps<'_>>,
) -> Result<StreamPlane, AppError> {
    let (host, program) = try_everything(asked);
    heap::give_back();
    let chosen = choose(asked, &host)?;
    log_choice(&chosen);
    let program = program.filter(|_loaded| uses_sockmap(chosen.plane));
    if let Some(local_apps) = local_apps {
        local_apps.track(program.as_deref())?;
    }
    if chosen.plane == PlaneChoice::Copy {
        return Ok(StreamPlane::Copy(CopyPlane::new()));
    }
    let engine = Engine::start(EngineConfig {
        workers: cores(),
        choice: chosen.plane,
        program,
        wide_pipes: limits::wide_pipes(WIDE_PIPE_BYTES / page_size()),
    })?;
    Ok(StreamPlane::Engine(engine))
}

/// The applications on this host that skip the network stack on their way to and from the gateway.
pub(super) struct LocalApps<'a> {
    /// The cgroup (v2) they run in.
    pub(super) cgroup: &'a Path,
    /// The listeners' and the targets' ports.
    pub(super) ports: Vec<u16>,
}

impl LocalApps<'_> {
    fn track(&self, program: Option<&Program>) -> Result<(), AppError> {
        let program = program.ok_or(AppError::LocalAppsWithoutSockmap)?;
        let refused = |cause| AppError::LocalApps {
            cgroup: self.cgroup.to_owned(),
            cause,
        };
        let directory = File::open(self.cgroup).map_err(|error| refused(error.into()))?;
        program
            .track_local_apps(&directory, &self.ports)
            .map_err(|error| refused(error.into()))
    }
}

/// The cores this process may run on.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Asks this host what it can do. The sockmap programs are loaded and tried where the choice may
/// fall on them, and handed out for use.
pub(super) fn try_everything(asked: PlaneChoice) -> (Capabilities, Option<Arc<Program>>) {
    let host = Capabilities::of_this_host();
    match asked {
        PlaneChoice::Copy | PlaneChoice::Splice => (host, None),
        PlaneChoice::Auto | PlaneChoice::Sockmap => try_sockmap(host),
    }
}

fn try_sockmap(host: Capabilities) -> (Capabilities, Option<Arc<Program>>) {
    if embedded_object().is_empty() {
        return (host.with_sockmap(SockmapTest::NotBuilt), None);
    }
    if !host.may_try_sockmap() {
        return (host, None);
    }
    let (outcome, program) = match Program::load(embedded_object()) {
        Ok(program) => match self_test::run(&program) {
            Ok(duration) => {
                tracing::debug!(?duration, "the sockmap self-test passed");
                (SockmapTest::Passed, Some(program))
            }
            Err(error) => (SockmapTest::Failed(InFull(&error).to_string()), None),
        },
        Err(error) => (SockmapTest::Failed(InFull(&error).to_string()), None),
    };
    (host.with_sockmap(outcome), program)
}

fn uses_sockmap(choice: PlaneChoice) -> bool {
    match choice {
        PlaneChoice::Auto | PlaneChoice::Sockmap => true,
        PlaneChoice::Copy | PlaneChoice::Splice => false,
    }
}

fn log_choice(chosen: &Chosen) {
    let Chosen { plane, declined } = chosen;
    for decline in declined {
        tracing::info!(plane = decline.plane.as_str(), reason = %decline.reason, "plane declined");
    }
    tracing::info!(plane = choice_name(*plane), "plane chosen");
}
