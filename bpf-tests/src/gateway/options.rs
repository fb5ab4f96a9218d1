//! What a gateway is started with.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;

use super::Gateway;
use crate::netns::Place;
use crate::process::Process;
use crate::sys;

/// What `--plane` is given.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Plane {
    /// The gateway chooses.
    Auto,
    /// Through a buffer in user space.
    Copy,
    /// Redirected in the kernel.
    Sockmap,
    /// Through a pipe.
    Splice,
}

/// What a gateway is started with.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    binary: PathBuf,
    plane: Plane,
    listen: Vec<String>,
    targets: Vec<String>,
    extra: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    cpus: Option<Vec<usize>>,
}

impl GatewayOptions {
    /// `binary forward --plane PLANE`, with listeners and targets to be added.
    pub fn new(binary: impl Into<PathBuf>, plane: Plane) -> Self {
        Self {
            binary: binary.into(),
            plane,
            listen: Vec::new(),
            targets: Vec::new(),
            extra: Vec::new(),
            environment: Vec::new(),
            cpus: None,
        }
    }

    /// Adds a listener on a free port of `address`.
    #[must_use]
    pub fn listen(self, address: IpAddr) -> Self {
        self.listen_on(SocketAddr::new(address, 0))
    }

    /// Adds a listener on this very address.
    #[must_use]
    pub fn listen_on(mut self, address: SocketAddr) -> Self {
        self.listen.push(address.to_string());
        self
    }

    /// Adds a target: an address, or `name:port`.
    #[must_use]
    pub fn target(mut self, target: impl fmt::Display) -> Self {
        self.targets.push(target.to_string());
        self
    }

    /// Adds arguments as they are.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.extra.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the gateway's environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Keeps the gateway on these CPUs.
    #[must_use]
    pub fn on_cpus(mut self, cpus: &[usize]) -> Self {
        self.cpus = Some(cpus.to_vec());
        self
    }

    /// Starts the gateway at `place` and waits until all its listeners accept.
    ///
    /// # Errors
    /// When it ends instead, with its own reason, or does not listen in time.
    pub fn start<'a>(&self, place: impl Into<Place<'a>>) -> Result<Gateway> {
        let gateway = self.launch(place)?;
        gateway.wait_for_listeners("listening", self.listen.len())
    }

    /// Starts the gateway without waiting for anything: for those that are to fail.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn launch<'a>(&self, place: impl Into<Place<'a>>) -> Result<Gateway> {
        let mut command = place.into().command(&self.binary.to_string_lossy());
        command.args([
            "forward",
            "--plane",
            self.plane.as_str(),
            "--log-format",
            "json",
        ]);
        for listen in &self.listen {
            command.args(["--listen", listen]);
        }
        for target in &self.targets {
            command.args(["--target", target]);
        }
        command.args(&self.extra);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(cpus) = &self.cpus {
            sys::start_on_cpus(&mut command, cpus);
        }
        let process = Process::spawn(command)?;
        Ok(Gateway::new(process))
    }
}

impl Plane {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Copy, Self::Sockmap, Self::Splice];

    /// The name in options and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Copy => "copy",
            Self::Sockmap => "sockmap",
            Self::Splice => "splice",
        }
    }
}

impl fmt::Display for Plane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
