//! What `s2cs init` made for both gateways, and the programs that are run on it: `s2cs serve` on
//! each gateway, `s2uc` where the consumer is.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bpf_tests::gateway::{Gateway, Plane};
use bpf_tests::netns::Place;
use bpf_tests::patience::stretched;
use bpf_tests::process::Process;
use bpf_tests::real::user::User;
use serde_json::Value;

use crate::run::stage::{Spot, Stage};

/// The folder in the user's private one in which everything is.
const FOLDER: &str = "gateways";

/// How long a command may take that is done in a moment.
const DEADLINE: Duration = Duration::from_secs(30);

/// Settings that the caller's shell may have for gateways of theirs, which are not for ours.
const VARIABLES: &str = "S2CS_";

/// Certificates, a token and settings, in a folder that goes with this value.
pub(super) struct Setup<'a> {
    stage: &'a Stage,
    user: User,
}

/// A command that is about to run, and how a person would type it.
pub(super) struct Typed {
    pub(super) command: Command,
    pub(super) line: String,
}

impl<'a> Setup<'a> {
    /// Runs `s2cs init` on the producer's gateway; gives the command besides.
    pub(super) fn make(stage: &'a Stage) -> Result<(Self, String)> {
        let setup = Self {
            stage,
            user: User::new()?,
        };
        let [here, other] = stage.gateways();
        let mut init = setup.command(here.place, "s2cs");
        // The addresses of the host it runs on are found by itself.
        let name = other.address.to_string();
        init.args(["init", "--dir", FOLDER, "--json", "--name", &name]);
        let typed = Typed::from(init);
        let line = typed.line.clone();
        typed.answer()?;
        Ok((setup, line))
    }

    /// `s2cs serve` at `spot`, on `plane`.
    pub(super) fn serve(&self, spot: Spot<'_>, plane: Plane) -> Typed {
        let mut serve = self.command(spot.place, "s2cs");
        serve.args(["serve", "--config", &within("s2cs.toml")]);
        serve.args(["--log-format", "json"]);
        if self.stage.is_loopback() {
            let address = spot.address.to_string();
            serve.args([
                "--listener_ip",
                &address,
                "--port",
                "0",
                "--port_range",
                "0",
            ]);
        } else if plane != Plane::Auto {
            // The default port has the pair that chooses by itself.
            serve.args(["--port", "0"]);
        }
        if plane != Plane::Auto {
            serve.args(["--type", plane.as_str()]);
        }
        serve.into()
    }

    /// Starts both gateways on `plane`, the producer's first.
    pub(super) fn serve_both(&self, plane: Plane) -> Result<Vec<Gateway>> {
        let numbered = self.stage.gateways().into_iter().zip(1..);
        let start = |(spot, number): (Spot<'_>, u32)| {
            let Typed { command, line } = self.serve(spot, plane);
            Gateway::serve(command).with_context(|| format!("`{line}` on gateway {number}"))
        };
        numbered.map(start).collect()
    }

    /// `s2uc --json ARGS` where the consumer is, with what gateways want to be shown.
    pub(super) fn s2uc(&self, args: &[&str]) -> Typed {
        let mut command = self.command(self.stage.dialler(), "s2uc");
        command.arg("--json").args(args);
        command.args(["--ca", &within("ca.crt")]);
        command.args(["--token-file", &within("token")]);
        command.into()
    }

    pub(super) fn stage(&self) -> &'a Stage {
        self.stage
    }

    fn command(&self, place: Place<'_>, program: &str) -> Command {
        let mut command = self.user.command(place, program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(VARIABLES) {
                command.env_remove(name);
            }
        }
        command
    }
}

impl From<Command> for Typed {
    fn from(command: Command) -> Self {
        let program = Path::new(command.get_program());
        let program = program.file_name().unwrap_or(command.get_program());
        let words = std::iter::once(program).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let line = words.join(" ");
        Self { command, line }
    }
}

impl Typed {
    /// Runs it to its end; gives the one object of JSON that it printed.
    pub(super) fn answer(self) -> Result<Value> {
        let Self { command, line } = self;
        let mut process = Process::spawn(command)?;
        let ended = process.wait(stretched(DEADLINE))?;
        let text = process.output().text();
        let printed = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str::<Value>(line).ok());
        match printed {
            Some(answer) if ended.success() => Ok(answer),
            Some(answer) => match answer.pointer("/error/message").and_then(Value::as_str) {
                Some(words) => bail!("`{line}` failed: {words}"),
                None => bail!("`{line}` failed ({ended}): {answer}"),
            },
            None => bail!("`{line}` ended ({ended}) without an answer; its last lines:\n{text}"),
        }
    }
}

fn within(file: &str) -> String {
    format!("{FOLDER}/{file}")
}
