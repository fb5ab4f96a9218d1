//! The rules in the settings, and the policy they make.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{BitRate, Time};
use crate::policy::{Maxima, Permission, Policy, Rule, TargetPattern, Who};
use crate::session::Network;

/// A rule: whom it is for, and what it grants them.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// Its name in explanations and refusals.
    #[serde(default)]
    #[schemars(extend("examples" = ["beamline staff"]))]
    pub name: Option<String>,
    /// Whom it is for: `any`, `identity:NAME`, `token:NAME`, `cert:NAME`, `oidc:NAME`, `group:NAME`,
    /// `domain:NAME`, or Globus' names such as `urn:globus:groups:id:…`.
    #[schemars(extend("examples" = [["group:staff", "urn:globus:auth:identity:46bd0f56-e24f-11e5-a510-131bef46955c"]]))]
    pub who: Vec<Who>,
    /// What they may do: have sessions as `producer` or `consumer`; as `application` say hello to
    /// everyone's sessions; as `admin` see, update and release everyone's, and drain the gateway.
    #[schemars(extend("examples" = [["producer", "consumer"]]))]
    pub roles: Vec<Permission>,
    /// Where their sessions may send to, as `NETWORK:PORTS` or `NAME:PORTS`; anywhere without.
    #[serde(default)]
    #[schemars(extend("examples" = [["10.0.0.0/8:5000-6000", "*.example.org:443"]]))]
    pub targets: Vec<TargetPattern>,
    /// Networks that may connect to their sessions' listeners; everyone without.
    #[serde(default)]
    #[schemars(extend("examples" = [["10.0.0.0/8", "2001:db8::/32"]]))]
    pub sources: Vec<Network>,
    /// Sessions of one caller at once.
    #[serde(default)]
    #[schemars(extend("examples" = [10]))]
    pub max_sessions: Option<u32>,
    /// Listeners of one session.
    #[serde(default)]
    #[schemars(extend("examples" = [32]))]
    pub max_listeners: Option<u32>,
    /// Open connections of one session.
    #[serde(default)]
    #[schemars(extend("examples" = [1024]))]
    pub max_connections: Option<u32>,
    /// The most one session may reserve or ask for as its limit, in bits per second and direction;
    /// it is held to this.
    #[serde(default)]
    #[schemars(extend("examples" = ["10G"]))]
    pub max_rate: Option<BitRate>,
    /// How long one session lasts at most.
    #[serde(default)]
    #[schemars(extend("examples" = ["12h"]))]
    pub max_lifetime: Option<Time>,
}

/// The policy that these rules make.
pub(super) fn policy(rules: &[RuleSettings]) -> Policy {
    let numbered = rules.iter().zip(1..);
    Policy {
        rules: numbered
            .map(|(rule, number)| rule.to_rule(number))
            .collect(),
    }
}

impl RuleSettings {
    fn to_rule(&self, number: usize) -> Rule {
        let Self {
            name,
            who,
            roles,
            targets,
            sources,
            max_sessions,
            max_listeners,
            max_connections,
            max_rate,
            max_lifetime,
        } = self.clone();
        Rule {
            name: name.unwrap_or_else(|| format!("rule {number}")),
            who,
            permissions: roles,
            targets,
            sources,
            maxima: Maxima {
                sessions: max_sessions,
                listeners: max_listeners,
                connections: max_connections,
                rate_bps: max_rate.map(|BitRate(rate)| rate),
                lifetime: max_lifetime.map(|Time(time)| time),
            },
        }
    }
}
