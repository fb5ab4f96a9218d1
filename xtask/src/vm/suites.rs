//! The test programs that guests run: the very ones that `cargo xtask test` runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::selection::Share;
use crate::{cmd, test};

/// The built test programs by target.
pub(super) struct Suites(BTreeMap<String, PathBuf>);

/// One target in one guest: the cases that must pass there.
#[derive(Clone, Debug)]
pub(super) struct Suite {
    pub(super) target: &'static str,
    pub(super) cases: Vec<String>,
    at_once: u8,
}

impl Suites {
    /// Builds those of these targets.
    pub(super) fn build(targets: &[&str]) -> Result<Self> {
        let mut command = test::cargo_test(true);
        command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
        for target in targets {
            command.args(["--test", target]);
        }
        eprintln!("vm: building the tests");
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cargo cannot be started")?;
        if !output.status.success() {
            bail!("the tests could not be built; the compiler's message is above");
        }
        let suites = Self(executables(&String::from_utf8_lossy(&output.stdout)));
        match targets
            .iter()
            .find(|&&target| !suites.0.contains_key(target))
        {
            Some(target) => bail!("cargo built no test program {target}"),
            None => Ok(suites),
        }
    }

    /// The programs, with their targets.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&str, &PathBuf)> {
        self.0.iter().map(|(target, path)| (target.as_str(), path))
    }

    /// What of a share's target runs: the program itself says which cases it has.
    pub(super) fn suite(&self, share: &Share) -> Result<Suite> {
        let program = self.0.get(share.target);
        let program = program.with_context(|| format!("there is no test {}", share.target))?;
        let list = cmd::output(Command::new(program).args(["--list", "--format", "terse"]))?;
        let listed: Vec<String> = list
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect();
        Ok(Suite::new(
            share.target,
            share.choose(&listed)?,
            share.at_once,
        ))
    }
}

impl Suite {
    /// These cases of a target, so many at once.
    pub(super) fn new(target: &'static str, cases: Vec<String>, at_once: u8) -> Self {
        Self {
            target,
            cases,
            at_once,
        }
    }

    /// The command in the guest, with the program in `folder`.
    pub(super) fn command(&self, folder: &str) -> String {
        let Self {
            target,
            cases,
            at_once,
        } = self;
        let cases = cases.join(" ");
        format!("{folder}/{target} --exact --test-threads {at_once} {cases}")
    }
}

/// The test programs in cargo's messages.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let program = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_test = message["target"]["kind"]
            .as_array()?
            .contains(&"test".into());
        let name = message["target"]["name"].as_str()?.to_owned();
        let path = message["executable"].as_str()?;
        is_test.then(|| (name, PathBuf::from(path)))
    };
    messages.lines().filter_map(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_programs_are_told_from_others_in_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"lab"},"executable":"/t/lab-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"s2cs"},"executable":"/t/s2cs"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"x"},"executable":null}"#,
            "\nnot JSON\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = executables(messages);
        let expected = [("lab".to_owned(), PathBuf::from("/t/lab-1"))];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn the_command_names_every_case() {
        let suite = Suite::new("lab", vec!["one".to_owned(), "two".to_owned()], 3);
        assert_eq!(
            suite.command("/t"),
            "/t/lab --exact --test-threads 3 one two"
        );
    }
}
