//! A user with a home of their own, who runs `s2uc` and `appctrl` to their end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::scratch::Scratch;
use crate::gateway::find_s2cs;
use crate::netns::Place;

/// A user.
#[derive(Debug)]
pub struct User {
    programs: PathBuf,
    home: Scratch,
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl User {
    /// A user with an empty home, and the programs beside the `s2cs` under test.
    ///
    /// # Errors
    /// When there is no `s2cs`, or no place for the home.
    pub fn new() -> Result<Self> {
        let s2cs = find_s2cs("release")?;
        let programs = s2cs.parent().context("s2cs lies in no folder")?;
        Ok(Self {
            programs: programs.to_owned(),
            home: Scratch::new()?,
        })
    }

    /// The home, which is the working directory too.
    pub fn home(&self) -> &Scratch {
        &self.home
    }

    /// One of our programs, about to run in the home.
    pub fn command(&self, place: Place<'_>, program: &str) -> Command {
        let mut command = place.command(&self.programs.join(program).to_string_lossy());
        command
            .current_dir(self.home.path())
            .env("HOME", self.home.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("S2UC_ISSUER");
        command
    }

    /// Runs `s2uc` with these arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn s2uc(&self, place: Place<'_>, args: &[&str]) -> Result<Outcome> {
        self.run(place, "s2uc", args)
    }

    /// Runs one of our programs with these arguments.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, place: Place<'_>, program: &str, args: &[&str]) -> Result<Outcome> {
        let mut command = self.command(place, program);
        let ended = command.args(args).stdin(Stdio::null()).output();
        let ended =
            ended.with_context(|| format!("cannot run {program}; run `cargo xtask build`"))?;
        Ok(Outcome {
            code: ended.status.code(),
            out: String::from_utf8_lossy(&ended.stdout).into_owned(),
            err: String::from_utf8_lossy(&ended.stderr).into_owned(),
        })
    }

    /// Runs `s2cs init` into a folder of the home; gives that folder.
    ///
    /// # Errors
    /// When it fails.
    pub fn init(&self, folder: &str, names: &[&str]) -> Result<PathBuf> {
        let dir = self.home.path().join(folder);
        let text = dir.to_string_lossy().into_owned();
        let mut args = vec!["init", "--dir", &text];
        args.extend(names.iter().flat_map(|name| ["--name", name]));
        self.run(Place::Here, "s2cs", &args)?.success()?;
        Ok(dir)
    }
}

impl Outcome {
    /// The standard output of a success.
    ///
    /// # Errors
    /// What it said when it failed.
    pub fn success(self) -> Result<String> {
        let Self { code, out, err } = self;
        if code == Some(0) {
            return Ok(out);
        }
        bail!("exit code {code:?}: {err}{out}");
    }

    /// The one line of JSON of a success.
    ///
    /// # Errors
    /// What it said when it failed, or wrote instead.
    pub fn json(self) -> Result<Value> {
        let out = self.success()?;
        serde_json::from_str(&out).with_context(|| format!("`{out}` is no JSON"))
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
