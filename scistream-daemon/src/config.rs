//! The settings of `s2cs serve`: defaults, then one TOML file, then `S2CS_…` variables, then flags.
//!
//! The file's types say everything that is said about settings: the schema is derived from them, and
//! from the schema come the names of the variables, the check for unknown keys and the example file.
//! Nothing is guessed: a key or value that is not understood ends the start with its line.

mod auth;
mod default_file;
mod keys;
mod layers;
mod rules;
mod settings;
mod values;

use std::fmt;
use std::path::Path;

pub use auth::{
    AuthSettings, CertificateSettings, IntrospectionPreset, IntrospectionSettings, JwtSettings,
    Secret, SignatureName, TokenFileSettings,
};
pub use default_file::default_file;
pub use keys::schema;
pub use layers::{Layers, Override};
pub use rules::RuleSettings;
pub use settings::{
    AuditSettings, CongestionName, ControlSettings, DataSettings, MetricsSettings, PlaneName,
    RateMeaning, SessionSettings, Settings,
};
pub use values::{AdvertisedHost, BitRate, IssuerUrl, PortMapping, PortRange, Time, ValueError};

use crate::policy::Policy;

/// Why the settings cannot be used; each displays as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Settings that do not go together.
    #[error("{setting}: {problem}")]
    Conflict {
        /// The setting, as `section.key`.
        setting: &'static str,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The text is not TOML, or a value in it is not what it must be.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// Keys that do not exist.
    #[error("{}", UnknownKeys(.0))]
    UnknownKeys(Vec<UnknownKey>),
    /// A variable or flag with a value that is none.
    #[error("{origin} holds `{value}`: {problem}")]
    Value {
        /// The variable or flag.
        origin: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A place in a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// A key that does not exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownKey {
    /// Where it stands.
    pub place: Place,
    /// The key with its sections.
    pub key: String,
    /// What it was probably meant to be.
    pub suggestion: Option<String>,
}

struct UnknownKeys<'a>(&'a [UnknownKey]);

impl fmt::Display for UnknownKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, unknown) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let UnknownKey {
                place,
                key,
                suggestion,
            } = unknown;
            write!(f, "{separator}{place}: there is no setting `{key}`")?;
            match suggestion {
                Some(suggestion) => write!(f, "; is `{suggestion}` meant?")?,
                None => write!(f, "; `s2cs config default` shows all")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.file, self.line)
    }
}

impl Settings {
    /// Reads the settings from a file's text.
    ///
    /// # Errors
    /// Whatever is in it that cannot be used.
    pub fn from_toml(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        layers.add_file(file, text)?;
        layers.into_settings()
    }

    /// The policy that the rules make.
    pub fn policy(&self) -> Policy {
        rules::policy(&self.rules)
    }

    /// Whether callers are asked who they are.
    pub fn asks_callers(&self) -> bool {
        let AuthSettings {
            client_id: _,
            allow_anyone: _,
            certificates,
            tokens,
            jwt,
            introspection,
        } = &self.auth;
        certificates.is_some() || tokens.is_some() || jwt.is_some() || introspection.is_some()
    }

    /// Checks what one setting alone does not show.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let conflict = |setting, problem: &str| {
            Err(ConfigError::Conflict {
                setting,
                problem: problem.to_owned(),
            })
        };
        let ports = self.sessions.port_range.0;
        if self.control.port != 0 && ports.contain(self.control.port) {
            return conflict(
                "sessions.port_range",
                "the control port is among the sessions' ports; choose other ports",
            );
        }
        let metrics = self.metrics.listen.map(|listen| listen.port());
        if metrics.is_some_and(|port| port != 0 && ports.contain(port)) {
            return conflict(
                "metrics.listen",
                "its port is among the sessions' ports; choose another one",
            );
        }
        if self.auth.certificates.is_some() && !self.control.ssl {
            return conflict(
                "auth.certificates",
                "callers can show certificates only over TLS; set control.ssl, or leave certificates out",
            );
        }
        if let Some(introspection) = &self.auth.introspection {
            return introspection.check();
        }
        Ok(())
    }
}

impl IntrospectionSettings {
    fn check(&self) -> Result<(), ConfigError> {
        let problem = if self.client_secret.is_some() == self.client_secret_file.is_some() {
            "the issuer wants a secret: give client_secret_file (or client_secret), and only one of them"
        } else if self.cache.0 > Self::CACHE_MAX {
            "an answer may be believed for 30s at most, or revoked tokens would pass; lower `cache`"
        } else {
            return Ok(());
        };
        Err(ConfigError::Conflict {
            setting: "auth.introspection",
            problem: problem.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
