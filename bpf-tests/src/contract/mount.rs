//! Where a case is held: a plane, on a ground.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::gateway::{Plane, find_s2cs};
use crate::patience::stretched;
use crate::traffic::{Seed, Watch};

use super::faulty::Fault;
use super::rig::Rig;
use super::setup::Setup;

/// How long a case may take. None takes a tenth of it on an idle machine.
const DEADLINE: Duration = Duration::from_secs(150);

/// What the hosts of a mount are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ground {
    /// This host, over loopback, without privileges.
    Loopback,
    /// Three network namespaces joined by veth.
    Routed,
}

/// A plane on a ground, for one case.
pub struct Mount {
    plane: Plane,
    ground: Ground,
    relay: RelayChoice,
    deadline: Duration,
    patience: Option<Duration>,
    seed: Seed,
    watch: Watch,
}

enum RelayChoice {
    Program(PathBuf),
    StandIn(Fault),
}

impl Mount {
    /// This plane over loopback, by the `s2cs` given.
    ///
    /// # Errors
    /// When `SCISTREAM_SEED` is no number.
    pub fn loopback(plane: Plane, program: impl Into<PathBuf>) -> Result<Self> {
        Self::new(
            plane,
            Ground::Loopback,
            RelayChoice::Program(program.into()),
        )
    }

    /// This plane in network namespaces, by the `s2cs` that cargo built in the same profile.
    ///
    /// # Errors
    /// When there is no such `s2cs`, or `SCISTREAM_SEED` is no number.
    pub fn routed(plane: Plane) -> Result<Self> {
        let profile = if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        };
        let program = find_s2cs(profile)?;
        Self::new(plane, Ground::Routed, RelayChoice::Program(program))
    }

    /// A stand-in with a fault, to show that a check can fail.
    ///
    /// # Errors
    /// When `SCISTREAM_SEED` is no number.
    pub fn faulty(ground: Ground, fault: Fault) -> Result<Self> {
        let plane = match fault {
            Fault::RedirectsWithoutLooking => Plane::Sockmap,
            Fault::CorruptsAByte
            | Fault::CountsWrong
            | Fault::DuplicatesBytes
            | Fault::FinishesBothWays
            | Fault::FinishesInsteadOfReset
            | Fault::HoldsWithoutBound
            | Fault::LosesBytes
            | Fault::LosesTheTail
            | Fault::None
            | Fault::ReordersBytes
            | Fault::SwallowsTheFin => Plane::Copy,
        };
        let mut mount = Self::new(plane, ground, RelayChoice::StandIn(fault))?;
        mount.patience = Some(Duration::from_secs(2));
        Ok(mount)
    }

    fn new(plane: Plane, ground: Ground, relay: RelayChoice) -> Result<Self> {
        Ok(Self {
            plane,
            ground,
            relay,
            deadline: stretched(DEADLINE),
            patience: None,
            seed: Seed::from_env()?,
            watch: Watch::default(),
        })
    }

    /// The same with another `s2cs`: one built around the naive verdict, say.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.relay = RelayChoice::Program(program.into());
        self
    }

    /// The same with another overall deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The plane under test.
    pub fn plane(&self) -> Plane {
        self.plane
    }

    /// What the hosts are.
    pub fn ground(&self) -> Ground {
        self.ground
    }

    /// Where the case's randomness comes from.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// What the case is waiting for.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// How long the case may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How long a read or write may take, where it is not the usual time.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// The `s2cs` to start.
    pub(super) fn program(&self) -> Result<&PathBuf> {
        match &self.relay {
            RelayChoice::Program(program) => Ok(program),
            RelayChoice::StandIn(fault) => bail!("{fault:?} is no program"),
        }
    }

    /// The stand-in's fault, if it is one.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &self.relay {
            RelayChoice::Program(_) => None,
            RelayChoice::StandIn(fault) => Some(*fault),
        }
    }

    /// Starts what `setup` asks for, runs `case` on it, and ends the gateway, which must have
    /// logged no error and must end well.
    ///
    /// # Errors
    /// What the case found; what the gateway's log or its end says.
    pub fn with(&self, setup: &Setup, case: impl FnOnce(&Rig<'_>) -> Result<()>) -> Result<()> {
        let rig = Rig::start(self, setup)?;
        let result = case(&rig);
        match result {
            Ok(()) => rig.end(),
            Err(error) => Err(rig.explain(error)),
        }
    }
}
