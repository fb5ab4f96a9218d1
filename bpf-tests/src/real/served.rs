//! Our gateway with its control service, `s2cs serve`, as `s2cs init` sets it up.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::user::{Outcome, User, text};
use crate::gateway::LogLine;
use crate::netns::Place;
use crate::process::Process;

/// How long a gateway may take until its control port is ready.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// What `s2cs init` made, for any number of gateways.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
}

/// A running gateway.
#[derive(Debug)]
pub struct Served {
    process: Process,
    control: String,
}

impl Setup {
    /// Runs `s2cs init` in the user's home.
    ///
    /// # Errors
    /// When it fails.
    pub fn new(user: &User) -> Result<Self> {
        Ok(Self {
            folder: user.init("setup", &[])?,
        })
    }

    /// The options by which a user reaches these gateways.
    pub fn access(&self) -> [String; 4] {
        [
            "--ca".to_owned(),
            text(&self.folder.join("ca.crt")),
            "--token-file".to_owned(),
            text(&self.folder.join("token")),
        ]
    }

    /// The token's text.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("token"))?
            .trim()
            .to_owned())
    }

    /// Starts a gateway at `place` with listeners on ports of `range`, and with `more` sections in
    /// its settings; those of callers' tokens are left out where `more` has its own.
    ///
    /// # Errors
    /// When it does not start; the error has its last words.
    pub fn serve(&self, user: &User, place: Place<'_>, range: &str, more: &str) -> Result<Served> {
        self.serve_on(user, place, "127.0.0.1", (range, more))
    }

    fn serve_on(
        &self,
        user: &User,
        place: Place<'_>,
        address: &str,
        (range, more): (&str, &str),
    ) -> Result<Served> {
        let settings = fs::read_to_string(self.folder.join("s2cs.toml"))?;
        let settings = settings
            .replace("port = 5000", "port = 0")
            .replace("\"0.0.0.0\"", &format!("\"{address}\""));
        let settings = match settings.split_once("[auth.tokens]") {
            Some((before, _)) if more.contains("[auth") => before.to_owned(),
            Some(_) | None => settings,
        };
        let settings = format!("{settings}\n[sessions]\nport_range = \"{range}\"\n{more}\n");
        let file = self.folder.join(format!("s2cs-{range}.toml"));
        fs::write(&file, settings)?;
        Served::start(user, place, &file)
    }

    /// As [`Setup::serve`], on all addresses of the place.
    ///
    /// # Errors
    /// As [`Setup::serve`].
    pub fn serve_everywhere(
        &self,
        user: &User,
        place: Place<'_>,
        range: &str,
        more: &str,
    ) -> Result<Served> {
        self.serve_on(user, place, "0.0.0.0", (range, more))
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Served {
    fn start(user: &User, place: Place<'_>, settings: &Path) -> Result<Self> {
        let mut command = user.command(place, "s2cs");
        command
            .args(["serve", "--log-format", "json", "--config"])
            .arg(settings);
        let process = Process::spawn(command)?;
        let control = process.wait_for_line(START_DEADLINE, |line| {
            let line = LogLine::parse(line)?;
            (line.message == "control port ready")
                .then(|| line.text("listen").ok().map(str::to_owned))?
        })?;
        Ok(Self { process, control })
    }

    /// Its control address.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The child, to signal it or to read its output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A session on two gateways that `s2uc connect` made.
#[derive(Debug)]
pub struct Connected {
    /// What `s2uc connect` said.
    pub session: Value,
}

impl Connected {
    /// Runs `s2uc connect` through both gateways to `targets`.
    ///
    /// # Errors
    /// When it fails.
    pub fn by(
        user: &User,
        place: Place<'_>,
        gateways: [&Served; 2],
        setup: &Setup,
        targets: &[String],
    ) -> Result<Self> {
        Self::on(user, place, gateways, setup, (targets, &[]))
    }

    /// As [`Connected::by`], with `more` options of `s2uc connect`.
    ///
    /// # Errors
    /// When it fails.
    pub fn on(
        user: &User,
        place: Place<'_>,
        gateways: [&Served; 2],
        setup: &Setup,
        (targets, more): (&[String], &[&str]),
    ) -> Result<Self> {
        let [producer, consumer] = gateways.map(Served::control);
        let access = setup.access();
        let mut args = vec![
            "--json",
            "connect",
            "--producer",
            producer,
            "--consumer",
            consumer,
        ];
        args.extend(access.iter().map(String::as_str));
        args.extend(targets.iter().flat_map(|target| ["--target", target]));
        args.extend(more);
        let session = user.s2uc(place, &args)?.json()?;
        Ok(Self { session })
    }

    /// The uid.
    ///
    /// # Errors
    /// When it was not told.
    pub fn uid(&self) -> Result<&str> {
        self.session["uid"].as_str().context("a session has a uid")
    }

    /// Where to connect.
    ///
    /// # Errors
    /// When it was not told.
    pub fn listeners(&self) -> Result<Vec<String>> {
        texts(&self.session["listeners"])
    }

    /// The session's state on a gateway, by `s2uc show`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn show(
        &self,
        user: &User,
        place: Place<'_>,
        at: &Served,
        setup: &Setup,
    ) -> Result<Outcome> {
        let access = setup.access();
        let mut args = vec!["--json", "show", self.uid()?, "--s2cs", at.control()];
        args.extend(access.iter().map(String::as_str));
        user.s2uc(place, &args)
    }
}

/// A list of texts.
///
/// # Errors
/// When it is none.
pub fn texts(value: &Value) -> Result<Vec<String>> {
    let items = value.as_array().context("a list")?;
    let text = |item: &Value| Ok(item.as_str().context("a text")?.to_owned());
    items.iter().map(text).collect()
}
