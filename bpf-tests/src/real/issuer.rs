//! A real OpenID provider with its routes where Globus Auth has them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Parts;
use crate::command;
use crate::netns::Place;
use crate::process::Process;

/// How long Node may take until it listens, on a machine that others load.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    process: Process,
    url: String,
}

impl Issuer {
    /// Starts one on loopback.
    ///
    /// # Errors
    /// When it does not listen in time.
    pub fn start(parts: &Parts, place: Place<'_>) -> Result<Self> {
        let process = Process::spawn(parts.node(place, "issuer.mjs"))?;
        let url = process.wait_for_line(START_DEADLINE, |line| {
            line.strip_prefix("issuer ").map(str::to_owned)
        })?;
        Ok(Self { process, url })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an access token: `{sub, scope, aud, lifetime, not_before}`, each with a default that
    /// is good.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn token(&self, wanted: &Value) -> Result<String> {
        let answer = self.post("/test/token", wanted)?;
        let token = answer["access_token"].as_str();
        Ok(token.context("the issuer gave no token")?.to_owned())
    }

    /// Revokes a token behind everyone's back.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn revoke(&self, token: &str) -> Result<()> {
        self.post("/test/revoke", &json!({ "token": token }))?;
        Ok(())
    }

    /// Whether a token is active, by the issuer's own introspection.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn knows(&self, token: &str) -> Result<bool> {
        let answer = self.post("/test/knows", &json!({ "token": token }))?;
        answer["known"].as_bool().context("the issuer did not say")
    }

    /// Lets every answer from here on take this long.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn slow_down(&self, delay: Duration) -> Result<()> {
        let milliseconds = u64::try_from(delay.as_millis())?;
        self.post("/test/slow", &json!({ "milliseconds": milliseconds }))?;
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// What wait(2) answers.
    pub fn stop(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "30"])
            .args(["--data", &body.to_string()])
            .arg(format!("{}{path}", self.url));
        let answer = command::run(&mut curl)?;
        serde_json::from_str(&answer).with_context(|| format!("`{answer}` is no JSON"))
    }
}
