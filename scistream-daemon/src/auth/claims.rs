//! What issuers say about tokens, and whether that is enough. Pure: the time is handed in.

use serde::Deserialize;

use super::Rejection;
use crate::config::IntrospectionPreset;
use crate::policy::Subject;

/// How far clocks may be apart, seconds.
const SKEW: i64 = 3;

/// An answer about a token, or what a signed token says of itself (RFC 7662, RFC 7519, and what
/// Globus Auth adds).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub(super) struct Claims {
    #[serde(default)]
    pub(super) active: bool,
    pub(super) sub: Option<String>,
    pub(super) username: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) email_verified: bool,
    #[serde(default)]
    pub(super) scope: String,
    #[serde(default)]
    pub(super) aud: OneOrMany,
    pub(super) exp: Option<i64>,
    pub(super) nbf: Option<i64>,
    #[serde(default)]
    pub(super) identity_set: Vec<IdentityEntry>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
}

/// A string, or several.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::Many(all) => all.iter().any(|one| one == wanted),
            Self::One(one) => one == wanted,
        }
    }
}

/// One of a caller's linked identities: its id, or an object that has it as `sub`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(untagged)]
pub(super) enum IdentityEntry {
    Id(String),
    Detail { sub: String },
}

/// What a token must be.
#[derive(Clone, Debug)]
pub(super) struct Required {
    pub(super) audience: Option<String>,
    pub(super) scope: Option<String>,
}

impl Claims {
    /// Whether the token is good at this time (seconds since 1970).
    pub(super) fn check(&self, required: &Required, now: i64) -> Result<(), Rejection> {
        let has_scope = |wanted: &String| self.scope.split(' ').any(|scope| scope == wanted);
        let is_for = |wanted: &String| self.aud.contains(wanted);
        if !self.active {
            return Err(Rejection::Inactive);
        }
        let is_early = self.nbf.is_some_and(|nbf| now.saturating_add(SKEW) < nbf);
        let is_late = self.exp.is_some_and(|exp| now.saturating_sub(SKEW) >= exp);
        if is_early || is_late {
            return Err(Rejection::Time);
        }
        if required
            .audience
            .as_ref()
            .is_some_and(|wanted| !is_for(wanted))
        {
            return Err(Rejection::Audience);
        }
        match &required.scope {
            Some(wanted) if !has_scope(wanted) => Err(Rejection::Scope(wanted.clone())),
            Some(_) | None => Ok(()),
        }
    }

    /// Who the token's caller is.
    pub(super) fn subject(&self, preset: IntrospectionPreset) -> Result<Subject, Rejection> {
        let identity = |id: &String| match preset {
            IntrospectionPreset::Generic => format!("oidc:{id}"),
            IntrospectionPreset::Globus => format!("urn:globus:auth:identity:{id}"),
        };
        let sub = self.sub.as_ref().filter(|sub| !sub.is_empty());
        let mut subject = Subject::named(identity(sub.ok_or(Rejection::Malformed)?));
        for entry in &self.identity_set {
            let (IdentityEntry::Id(id) | IdentityEntry::Detail { sub: id }) = entry;
            let name = identity(id);
            if !subject.identities.contains(&name) {
                subject.identities.push(name);
            }
        }
        subject.groups.clone_from(&self.groups);
        // Globus' user names are verified by the domain they end in; an e-mail address of others is
        // only if they say so.
        match preset {
            IntrospectionPreset::Globus => self
                .username
                .iter()
                .for_each(|name| subject.add_username(name)),
            IntrospectionPreset::Generic => {
                let email = self.email.iter().filter(|_| self.email_verified);
                email.for_each(|name| subject.add_username(name));
                let name = self.preferred_username.as_ref().or(self.username.as_ref());
                subject.name = subject.name.or_else(|| name.cloned());
            }
        }
        Ok(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_token_must_be_active_in_time_for_us_and_have_the_scope() {
        let required = Required {
            audience: Some("us".to_owned()),
            scope: Some("scistream".to_owned()),
        };
        for (json, outcome) in [
            (
                r#"{"active":true,"aud":["us","x"],"scope":"a scistream","exp":1000,"nbf":1000}"#,
                Ok(()),
            ),
            (r#"{"active":true,"aud":"us","scope":"scistream"}"#, Ok(())),
            (
                r#"{"active":false,"aud":["us"],"scope":"scistream"}"#,
                Err(Rejection::Inactive),
            ),
            (r"{}", Err(Rejection::Inactive)),
            (
                r#"{"active":true,"aud":["x"],"scope":"scistream"}"#,
                Err(Rejection::Audience),
            ),
            (
                r#"{"active":true,"scope":"scistream"}"#,
                Err(Rejection::Audience),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream2"}"#,
                Err(Rejection::Scope("scistream".to_owned())),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream","exp":997}"#,
                Err(Rejection::Time),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream","exp":998}"#,
                Ok(()),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream","nbf":1003}"#,
                Ok(()),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream","nbf":1004}"#,
                Err(Rejection::Time),
            ),
            (
                r#"{"active":true,"aud":["us"],"scope":"scistream","exp":-9223372036854775808}"#,
                Err(Rejection::Time),
            ),
        ] {
            assert_eq!(claims(json).check(&required, 1_000), outcome, "{json}");
        }
    }

    #[test]
    fn globus_callers_have_all_their_linked_identities() {
        let subject = claims(r#"{"active":true,"sub":"1","username":"alice@uni.edu","email":"a@evil.org","identity_set":["1","2",{"sub":"3"}]}"#)
            .subject(IntrospectionPreset::Globus)
            .unwrap();
        assert_eq!(subject.id, "urn:globus:auth:identity:1");
        assert_eq!(subject.identities.len(), 3);
        assert_eq!(subject.domains, ["uni.edu"]);
        assert_eq!(subject.name.as_deref(), Some("alice@uni.edu"));
    }

    #[test]
    fn an_address_that_nobody_verified_vouches_for_no_domain() {
        let generic = |json: &str| claims(json).subject(IntrospectionPreset::Generic).unwrap();
        assert!(
            generic(r#"{"sub":"1","email":"a@lab.org"}"#)
                .domains
                .is_empty()
        );
        assert_eq!(
            generic(r#"{"sub":"1","email":"a@Lab.org","email_verified":true}"#).domains,
            ["lab.org"]
        );
        assert_eq!(
            generic(r#"{"sub":"1","username":"bob@lab.org"}"#)
                .domains
                .len(),
            0
        );
        let nobody = claims(r#"{"active":true}"#).subject(IntrospectionPreset::Generic);
        assert_eq!(nobody, Err(Rejection::Malformed));
    }
}
