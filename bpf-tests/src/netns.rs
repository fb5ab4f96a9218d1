//! One network namespace: made with a name of its own, lo up, removed by its guard.
//!
//! The name shows in `ip netns`, so that a person can look inside a run that is going on:
//! `ip netns exec ss-PID-STARTED-SERIAL-ROLE ss -tin`.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::LinkNameSpaceType;

use crate::cleanup::{self, Registry};
use crate::{command, sys};

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A network namespace that exists as long as this value.
#[derive(Debug)]
pub struct Netns {
    name: String,
    descriptor: Arc<OwnedFd>,
}

/// Where a process runs: in the namespace this process is in, or inside another.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The namespace this process is in.
    Here,
    /// Inside a namespace of the lab.
    Inside(&'a Netns),
}

impl Netns {
    /// Makes a namespace with lo up. `role` ends its name: letters and digits.
    ///
    /// # Errors
    /// Without root (CAP_SYS_ADMIN and CAP_NET_ADMIN) or without iproute2.
    pub fn new(role: &str) -> Result<Self> {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{serial}-{role}", cleanup::own_identity()?);
        {
            // Made under the lock: a signal finds it either not begun or noted.
            let mut registry = Registry::lock()?;
            registry.note(&name);
            command::run(Command::new("ip").args(["netns", "add", &name]))?;
        }
        let path = Path::new(cleanup::NAMESPACE_DIRECTORY).join(&name);
        let opened = fs::File::open(&path);
        let opened = opened.with_context(|| format!("cannot open {}", path.display()));
        let namespace = match opened {
            Ok(file) => Self {
                name,
                descriptor: Arc::new(file.into()),
            },
            Err(error) => {
                cleanup::remove_namespace(&name)?;
                return Err(error);
            }
        };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name in `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a fresh thread inside the namespace; sockets it makes stay inside, wherever
    /// they are used. A panic of `work` goes on in the caller.
    ///
    /// Files under `/proc/sys/net` and `/proc/thread-self/net` are the namespace's; those under
    /// `/sys` are not.
    ///
    /// # Errors
    /// When the thread or setns(2) is refused.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(self.name.clone());
            let inside = thread.spawn_scoped(scope, || {
                rustix::thread::move_into_link_name_space(
                    self.descriptor.as_fd(),
                    Some(LinkNameSpaceType::Network),
                )?;
                rustix::io::Result::Ok(work())
            })?;
            match inside.join() {
                Ok(answer) => answer.with_context(|| format!("cannot enter {}", self.name)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A command that will start inside the namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        sys::start_inside(&mut command, Arc::clone(&self.descriptor));
        command
    }

    /// `ip -n NAME ARGS`.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        command::run(Command::new("ip").args(["-n", &self.name]).args(args))
    }

    /// Runs a short command inside the namespace to its end and gives its standard output.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn run(&self, argv: &[&str]) -> Result<String> {
        let (program, args) = argv
            .split_first()
            .ok_or_else(|| anyhow!("no command given"))?;
        command::run(self.command(program).args(args))
    }

    /// Sets a sysctl of the namespace: `net.ipv4.ip_forward`, say.
    ///
    /// # Errors
    /// When the kernel has no such sysctl per namespace, or refuses the value.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let written = self.enter(|| {
            let mut file = fs::File::options().write(true).open(&path)?;
            file.write_all(value.as_bytes())
        })?;
        written.with_context(|| format!("cannot set {key} to `{value}` in {}", self.name))
    }

    /// Reads a sysctl of the namespace.
    ///
    /// # Errors
    /// When the kernel has no such sysctl.
    pub fn sysctl(&self, key: &str) -> Result<String> {
        let path = format!("/proc/sys/{}", key.replace('.', "/"));
        let value = self.enter(|| fs::read_to_string(&path))?;
        let value = value.with_context(|| format!("cannot read {key} in {}", self.name))?;
        Ok(value.trim().to_owned())
    }

    /// Writes to a file below `/sys` as the namespace sees it.
    ///
    /// # Errors
    /// When there is no such file or the kernel refuses the value.
    pub fn write_sysfs(&self, path: &str, value: &str) -> Result<()> {
        // `ip netns exec` mounts the namespace's sysfs; a plain setns(2) keeps the outer one.
        let mut tee = Command::new("ip");
        tee.args(["netns", "exec", &self.name, "tee", path]);
        command::run_with_input(&mut tee, value)?;
        Ok(())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = cleanup::remove_namespace(&self.name) {
            eprintln!("cannot remove the network namespace {}: {error}", self.name);
        }
    }
}

impl Place<'_> {
    /// A command that will start at this place.
    pub fn command(self, program: &str) -> Command {
        match self {
            Self::Here => Command::new(program),
            Self::Inside(namespace) => namespace.command(program),
        }
    }

    /// Runs `work` at this place: inside a namespace on a thread of its own.
    ///
    /// # Errors
    /// As [`Netns::enter`].
    pub fn enter<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        match self {
            Self::Here => Ok(work()),
            Self::Inside(namespace) => namespace.enter(work),
        }
    }

    /// A TCP port of `address` that nothing listens on. Inside a namespace nobody else can take
    /// it; here somebody might, before it is used.
    ///
    /// # Errors
    /// When the address is not of this place.
    pub fn free_port(self, address: std::net::IpAddr) -> Result<u16> {
        let bound = self.enter(|| std::net::TcpListener::bind((address, 0)))?;
        let port = bound.and_then(|listener| listener.local_addr());
        Ok(port
            .with_context(|| format!("cannot bind a port of {address}"))?
            .port())
    }
}

impl<'a> From<&'a Netns> for Place<'a> {
    fn from(namespace: &'a Netns) -> Self {
        Self::Inside(namespace)
    }
}
