//! Gateways with their control service, as `s2cs init` sets them up, and who calls them: `s2uc`, and
//! the example `control_load`, which answers in JSON.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bpf_tests::netns::Place;
use bpf_tests::process::Process;
use bpf_tests::real::served::{Served, Setup};
use bpf_tests::real::user::User;
use serde_json::Value;

use crate::{build, build_ebpf, workspace};

/// How long a caller may take for what it does.
const PATIENCE: Duration = Duration::from_secs(180);

/// A user, and what gateways and callers share.
#[derive(Debug)]
pub(super) struct Callers {
    /// Who runs everything.
    pub(super) user: User,
    /// Certificates and the token.
    pub(super) setup: Setup,
    program: PathBuf,
}

/// A caller at work.
#[derive(Debug)]
pub(super) struct Caller(Process);

/// Builds what is measured, and who calls it.
///
/// Errors when it does not build.
pub(super) fn build_all() -> Result<()> {
    if std::env::var_os(bpf_tests::gateway::BINARY_VARIABLE).is_none() {
        build_ebpf::build()?;
        build::daemon()?;
    }
    build::caller()
}

impl Callers {
    /// A new user with certificates and a token.
    ///
    /// Errors when they cannot be made.
    pub(super) fn new() -> Result<Self> {
        let user = User::new()?;
        let setup = Setup::new(&user)?;
        let program = workspace::target().join("release/examples/control_load");
        ensure!(
            program.is_file(),
            "there is no {}; it should just have been built",
            program.display()
        );
        Ok(Self {
            user,
            setup,
            program,
        })
    }

    /// Where a gateway of these callers keeps its record of calls, if it is told so.
    pub(super) fn audit_file(&self) -> PathBuf {
        self.user.home().path().join("audit.jsonl")
    }

    /// The settings that make it keep one.
    pub(super) fn audit_settings(&self) -> String {
        format!("[audit]\nfile = \"{}\"\n", self.audit_file().display())
    }

    /// Starts a caller at `place` that calls `gateway`.
    ///
    /// Errors when it cannot be started.
    pub(super) fn call(
        &self,
        place: Place<'_>,
        gateway: &Served,
        args: &[String],
    ) -> Result<Caller> {
        let mut command = place.command(&self.program.to_string_lossy());
        // A gateway that is bound to all addresses is called at one.
        let control = gateway.control().replace("0.0.0.0", "127.0.0.1");
        command
            .args(["--gateway", &control])
            .args(self.setup.access())
            .args(args);
        Ok(Caller(Process::spawn(command)?))
    }
}

impl Caller {
    /// Waits until it says something that has `key`.
    ///
    /// Errors when it ends without, or takes too long; the error has its last words.
    pub(super) fn hear(&self, key: &str) -> Result<Value> {
        self.0.wait_for_line(PATIENCE, |line| {
            let said: Value = serde_json::from_str(line).ok()?;
            said.get(key)?;
            Some(said)
        })
    }
}

/// The list of whole numbers that `said` has under `key`.
///
/// Errors when there is none.
pub(super) fn numbers(said: &Value, key: &str) -> Result<Vec<u64>> {
    let list = said.get(key).and_then(Value::as_array);
    let list = list.with_context(|| format!("the caller said nothing of {key}"))?;
    let number = |value: &Value| value.as_u64().context("a time is a whole number");
    list.iter().map(number).collect()
}

/// The list of texts that `said` has under `key`.
///
/// Errors when there is none.
pub(super) fn texts(said: &Value, key: &str) -> Result<Vec<String>> {
    let list = said.get(key).and_then(Value::as_array);
    let list = list.with_context(|| format!("the caller said nothing of {key}"))?;
    let text = |value: &Value| Ok(value.as_str().context("a text")?.to_owned());
    list.iter().map(text).collect()
}
