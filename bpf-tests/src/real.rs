//! Real parts beside the gateway: programs and libraries that others wrote, and scripts of ours on
//! top of them, in bpf-tests/real.
//!
//! ```text
//!   scratch      a folder of a test's own, removed with its guard
//!   user         `s2uc` and `appctrl`, run to their end with a home of their own
//!   reference    a gateway as the reference's are, in Python on grpcio
//!   issuer       an OpenID provider where Globus Auth has its routes, in Node
//!   served       our gateway with its control service, as `s2cs init` sets it up
//!   pair         two of those in a row, and a session through them
//! ```
//!
//! `cargo xtask setup real` installs what they need into the target's folder `real`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::netns::Place;

pub mod issuer;
pub mod pair;
pub mod reference;
pub mod scratch;
pub mod served;
pub mod user;

/// The folder of the target in which the parts are.
pub const FOLDER: &str = "real";
/// The folder in it with Python's virtual environment.
pub const PYTHON: &str = "python";
/// The folder in it with Node's packages.
pub const NODE: &str = "node";
/// The list of Python's packages.
pub const PYTHON_LIST: &str = "requirements.txt";

/// The protocols that the stubs are generated from.
const PROTOCOLS: [&str; 2] = ["scistream.proto", "gateway.proto"];

/// The parts that are installed.
#[derive(Clone, Debug)]
pub struct Parts {
    root: PathBuf,
}

/// Where the scripts and the lists of packages are.
pub fn lists() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("real")
}

impl Parts {
    /// Those in the target's folder that this program was built into.
    ///
    /// # Errors
    /// When they are not installed; the error says how to.
    pub fn find() -> Result<Self> {
        let running = std::env::current_exe().context("cannot tell where this program is")?;
        let mut folders = running.ancestors().map(|folder| folder.join(FOLDER));
        let root = folders.find(|root| root.join(PYTHON).join("bin/python").is_file());
        let root =
            root.context("the real parts are not installed; run `cargo xtask setup real`")?;
        Ok(Self { root })
    }

    /// A script of ours in Python, with the protocols' stubs at hand.
    ///
    /// # Errors
    /// When the stubs cannot be generated.
    pub fn python(&self, place: Place<'_>, script: &str) -> Result<Command> {
        let stubs = self.stubs()?;
        let mut command = place.command(&self.interpreter().to_string_lossy());
        command
            .arg(lists().join(script))
            .env("PYTHONPATH", stubs)
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// A script of ours in Node.
    pub fn node(&self, place: Place<'_>, script: &str) -> Command {
        let mut command = place.command("node");
        command
            .arg(lists().join(script))
            .env("SCISTREAM_NODE", self.root.join(NODE));
        command
    }

    fn interpreter(&self) -> PathBuf {
        self.root.join(PYTHON).join("bin/python")
    }

    /// The folder of the stubs, generated once for each state of the protocols.
    fn stubs(&self) -> Result<PathBuf> {
        let protocols = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scistream-daemon/proto");
        let mut hasher = DefaultHasher::new();
        for name in PROTOCOLS {
            let path = protocols.join(name);
            let text = std::fs::read(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            text.hash(&mut hasher);
        }
        let folder = self.root.join(format!("stubs-{:016x}", hasher.finish()));
        if folder.is_dir() {
            return Ok(folder);
        }
        // Made beside and moved into place: whoever finds the folder finds it whole.
        let partial = scratch::Scratch::within(&self.root)?;
        let out = |kind: &str| format!("--{kind}_out={}", partial.path().display());
        let mut generate = Command::new(self.interpreter());
        generate
            .args(["-m", "grpc_tools.protoc", "-I"])
            .arg(&protocols)
            .args([out("python"), out("grpc_python")])
            .args(PROTOCOLS);
        command::run(&mut generate)?;
        if let Err(error) = std::fs::rename(partial.path(), &folder)
            && !folder.is_dir()
        {
            return Err(error).with_context(|| format!("cannot make {}", folder.display()));
        }
        Ok(folder)
    }
}
