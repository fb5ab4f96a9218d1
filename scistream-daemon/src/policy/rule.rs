//! One rule: who it is for, and what it grants.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::session::Network;

use super::{Subject, TargetPattern};

/// What a rule can grant to do.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// See, update and release everyone's sessions, and drain the gateway.
    Admin,
    /// Say hello to everyone's sessions.
    Application,
    /// Have sessions on the consumer's side.
    Consumer,
    /// Have sessions on the producer's side.
    Producer,
}

impl Permission {
    /// The name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Application => "application",
            Self::Consumer => "consumer",
            Self::Producer => "producer",
        }
    }
}

/// Whom a rule is for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    /// Everyone who is known.
    Any,
    /// Everyone whom a domain vouches for.
    Domain(String),
    /// The members of a group.
    Group(String),
    /// One caller, by any of its names.
    Identity(String),
}

/// Not a principal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected any, identity:NAME, group:NAME, domain:NAME, token:NAME, cert:NAME, oidc:NAME or a urn:globus:… name"
)]
pub struct WhoError;

impl Who {
    /// Whether this is about the caller.
    pub fn matches(&self, caller: &Subject) -> bool {
        match self {
            Self::Any => true,
            Self::Domain(domain) => caller.domains.contains(domain),
            Self::Group(group) => caller.groups.contains(group),
            Self::Identity(identity) => caller.identities.contains(identity),
        }
    }

    /// A caller of whom no more is known than this.
    pub fn example(&self) -> Subject {
        let mut caller = Subject::named(match self {
            Self::Identity(identity) => identity.clone(),
            Self::Any | Self::Domain(_) | Self::Group(_) => "someone".to_owned(),
        });
        match self {
            Self::Domain(domain) => caller.domains.push(domain.clone()),
            Self::Group(group) => caller.groups.push(group.clone()),
            Self::Any | Self::Identity(_) => {}
        }
        caller
    }
}

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        let named = |name: &str| {
            let is_name = !name.is_empty() && !name.chars().any(char::is_control);
            is_name.then(|| name.to_owned()).ok_or(WhoError)
        };
        if text == "any" {
            return Ok(Self::Any);
        }
        let (kind, name) = text.split_once(':').ok_or(WhoError)?;
        match kind {
            "cert" | "oidc" | "token" => named(name).map(|_name| Self::Identity(text.to_owned())),
            "domain" => named(name).map(|name| Self::Domain(name.to_ascii_lowercase())),
            "group" => named(name).map(Self::Group),
            "identity" => named(name).map(Self::Identity),
            "urn" if name.starts_with("globus:auth:identity:") => {
                Ok(Self::Identity(text.to_owned()))
            }
            "urn" if name.starts_with("globus:groups:id:") => Ok(Self::Group(text.to_owned())),
            _ => Err(WhoError),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Domain(domain) => write!(f, "domain:{domain}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::Identity(identity) => write!(f, "identity:{identity}"),
        }
    }
}

/// The most a rule grants of each; `None` for what it leaves to the gateway's own limits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Maxima {
    /// Sessions of one caller at once.
    pub sessions: Option<u32>,
    /// Listeners of one session.
    pub listeners: Option<u32>,
    /// Open connections of one session.
    pub connections: Option<u32>,
    /// What one session may reserve or move, bits per second.
    pub rate_bps: Option<u64>,
    /// How long a session lasts.
    pub lifetime: Option<Duration>,
}

/// What some callers may do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Its name in explanations.
    pub name: String,
    /// Whom it is for.
    pub who: Vec<Who>,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// Where their sessions may send to; empty for anywhere.
    pub targets: Vec<TargetPattern>,
    /// Who may connect to their sessions' listeners; empty for everyone.
    pub sources: Vec<Network>,
    /// The most they get.
    pub maxima: Maxima,
}

impl Rule {
    /// Whether it is for this caller.
    pub fn is_for(&self, caller: &Subject) -> bool {
        self.who.iter().any(|who| who.matches(caller))
    }

    /// Whether it grants to do this.
    pub fn permits(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_read_in_our_and_in_globus_spelling() {
        let identity = |name: &str| Who::Identity(name.to_owned());
        for (text, who) in [
            ("any", Who::Any),
            ("token:alice", identity("token:alice")),
            ("identity:cert:alice", identity("cert:alice")),
            (
                "urn:globus:auth:identity:7",
                identity("urn:globus:auth:identity:7"),
            ),
            (
                "urn:globus:groups:id:8",
                Who::Group("urn:globus:groups:id:8".to_owned()),
            ),
            ("group:staff", Who::Group("staff".to_owned())),
            ("domain:Example.ORG", Who::Domain("example.org".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(who), "{text}");
        }
        for text in [
            "",
            "alice",
            "token:",
            "user:alice",
            "urn:x:y",
            "group:\u{7}",
        ] {
            assert_eq!(text.parse::<Who>(), Err(WhoError), "{text}");
        }
    }
}
