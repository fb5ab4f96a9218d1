//! A token issuer: OAuth 2 for native applications (RFC 8252) with PKCE (RFC 7636), renewal and
//! revocation (RFC 7009).
//!
//! Globus Auth is the default; others are found by their OpenID configuration, and where there is
//! none, by Globus' paths below their address.

use std::fmt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::Deserialize;

use super::cli::IssuerArgs;
use super::deadline::Deadline;
use super::failure::{Exit, Failure, printable};
use super::https::{self, Answer};
use super::token::Entry;
use super::uid;

/// Globus Auth.
pub const GLOBUS: &str = "https://auth.globus.org";

/// SciStream's user client at Globus Auth.
pub const CLIENT_ID: &str = "4787c84e-9c55-4881-b941-cb6720cea11c";

/// What a token is taken to live when the issuer does not say.
const LIFETIME_ASSUMED: u64 = 3_600;

/// An issuer and who we are to it.
#[derive(Clone, Debug)]
pub struct Issuer {
    base: String,
    client_id: String,
    ca: Option<PathBuf>,
    endpoints: Endpoints,
}

/// Where an issuer does what, as its OpenID configuration says.
#[derive(Clone, Debug, Deserialize)]
struct Endpoints {
    #[serde(rename = "authorization_endpoint")]
    authorization: String,
    #[serde(rename = "token_endpoint")]
    token: String,
    #[serde(rename = "revocation_endpoint")]
    revocation: Option<String>,
}

/// A login that waits for the user's code.
pub struct Login<'a> {
    issuer: &'a Issuer,
    scope: String,
    /// Proves, when the code is exchanged, that it was us who asked for it.
    verifier: String,
    state: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
    #[serde(default)]
    scope: String,
    /// Globus gives a token for each service, and the first of them outside.
    #[serde(default)]
    other_tokens: Vec<Tokens>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Issuer {
    /// The issuer these options name.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn find(args: &IssuerArgs, deadline: Deadline) -> Result<Self, Failure> {
        let base = args.issuer.trim_end_matches('/').to_owned();
        let ca = args.issuer_ca.clone();
        let endpoints = if base == GLOBUS {
            Endpoints::below(&base)
        } else {
            Endpoints::discover(&base, ca.as_deref(), deadline).await?
        };
        Ok(Self {
            base,
            client_id: args.client_id.clone(),
            ca,
            endpoints,
        })
    }

    /// Begins a login for a gateway's scope.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn login(&self, scope: &str) -> Result<Login<'_>, Failure> {
        Ok(Login {
            issuer: self,
            scope: in_full(scope),
            verifier: URL_SAFE_NO_PAD.encode(uid::random::<32>()?),
            state: URL_SAFE_NO_PAD.encode(uid::random::<16>()?),
        })
    }

    fn redirect(&self) -> String {
        format!("{}/v2/web/auth-code", self.base)
    }

    fn entry(&self, tokens: Tokens) -> Entry {
        entry(tokens, &self.client_id, self.ca.clone(), &self.endpoints)
    }
}

impl Endpoints {
    /// Globus' paths below an address.
    fn below(base: &str) -> Self {
        Self {
            authorization: format!("{base}/v2/oauth2/authorize"),
            token: format!("{base}/v2/oauth2/token"),
            revocation: Some(format!("{base}/v2/oauth2/token/revoke")),
        }
    }

    async fn discover(base: &str, ca: Option<&Path>, deadline: Deadline) -> Result<Self, Failure> {
        let url = format!("{base}/.well-known/openid-configuration");
        let answer = https::fetch(&url, ca, deadline).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Self::below(base));
        }
        parse(&answer, base)
    }
}

impl Login<'_> {
    /// What the user opens in a browser.
    pub fn url(&self) -> String {
        let Self {
            issuer,
            scope,
            verifier,
            state,
        } = self;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let redirect = issuer.redirect();
        let globus = issuer.base == GLOBUS;
        // Each wants a renewable token to be asked for in its own way.
        let (scope, prompt) = if globus {
            (scope.clone(), "login")
        } else {
            (format!("openid offline_access {scope}"), "consent")
        };
        let mut fields = vec![
            ("client_id", issuer.client_id.as_str()),
            ("redirect_uri", &redirect),
            ("response_type", "code"),
            ("scope", &scope),
            ("state", state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("prompt", prompt),
        ];
        if globus {
            fields.push(("access_type", "offline"));
        }
        format!(
            "{}?{}",
            issuer.endpoints.authorization,
            https::form(&fields)
        )
    }

    /// Exchanges the code that the browser showed for tokens.
    ///
    /// # Errors
    /// When the issuer refuses the code or cannot be reached.
    pub async fn finish(&self, code: &str, deadline: Deadline) -> Result<Entry, Failure> {
        let issuer = self.issuer;
        let redirect = issuer.redirect();
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", issuer.client_id.as_str()),
            ("code", code.trim()),
            ("redirect_uri", &redirect),
            ("code_verifier", &self.verifier),
        ];
        let endpoint = &issuer.endpoints.token;
        let answer = https::post_form(endpoint, &fields, issuer.ca.as_deref(), deadline).await?;
        let tokens: Tokens = parse(&answer, &issuer.base)?;
        Ok(issuer.entry(tokens.of_scope(&self.scope)))
    }
}

impl Tokens {
    /// The token of a scope among those that came, the outer one by default.
    fn of_scope(mut self, scope: &str) -> Self {
        let fits = |tokens: &Self| tokens.scope.split_whitespace().any(|it| it == scope);
        let others = std::mem::take(&mut self.other_tokens);
        if fits(&self) {
            return self;
        }
        others.into_iter().find(fits).unwrap_or(self)
    }
}

/// Renews a token.
///
/// # Errors
/// When the issuer refuses or cannot be reached.
pub async fn refresh(
    old: &Entry,
    refresh_token: &str,
    deadline: Deadline,
) -> Result<Entry, Failure> {
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", old.client_id.as_str()),
        ("refresh_token", refresh_token),
    ];
    let ca = old.issuer_ca.as_deref();
    let answer = https::post_form(&old.token_endpoint, &fields, ca, deadline).await?;
    let mut tokens: Tokens = parse(&answer, &old.token_endpoint)?;
    // An issuer that gives no new one lets the old one serve on.
    let kept = tokens.refresh_token.take();
    tokens.refresh_token = kept.or_else(|| Some(refresh_token.to_owned()));
    let endpoints = Endpoints {
        authorization: String::new(),
        token: old.token_endpoint.clone(),
        revocation: old.revocation_endpoint.clone(),
    };
    Ok(entry(
        tokens,
        &old.client_id,
        old.issuer_ca.clone(),
        &endpoints,
    ))
}

/// Gives a token, and what would renew it, back.
///
/// # Errors
/// When the issuer refuses or cannot be reached.
pub async fn revoke(entry: &Entry, deadline: Deadline) -> Result<(), Failure> {
    let Some(endpoint) = &entry.revocation_endpoint else {
        return Ok(());
    };
    let tokens = entry.refresh_token.iter().chain([&entry.access_token]);
    for token in tokens {
        let fields = [("token", token.as_str()), ("client_id", &entry.client_id)];
        let ca = entry.issuer_ca.as_deref();
        let answer = https::post_form(endpoint, &fields, ca, deadline).await?;
        if !answer.status.is_success() {
            return Err(refused(&answer, endpoint));
        }
    }
    Ok(())
}

fn entry(
    tokens: Tokens,
    client_id: &str,
    issuer_ca: Option<PathBuf>,
    endpoints: &Endpoints,
) -> Entry {
    let lifetime = tokens.expires_in.unwrap_or(LIFETIME_ASSUMED);
    Entry {
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token,
        expires_at: super::token::now().as_secs().saturating_add(lifetime),
        client_id: client_id.to_owned(),
        issuer_ca,
        token_endpoint: endpoints.token.clone(),
        revocation_endpoint: endpoints.revocation.clone(),
    }
}

/// A gateway's id as Globus writes its scope; what is no id is a scope already.
fn in_full(scope: &str) -> String {
    if scope.contains([':', '/']) {
        return scope.to_owned();
    }
    format!("{GLOBUS}/scopes/{scope}/scistream")
}

fn parse<T: for<'a> Deserialize<'a>>(answer: &Answer, issuer: &str) -> Result<T, Failure> {
    if !answer.status.is_success() {
        return Err(refused(answer, &issuer));
    }
    // The parser's own words could hold a part of a token.
    serde_json::from_slice(&answer.body).map_err(|_malformed| {
        Failure::new(
            Exit::Failed,
            format!("the token issuer {issuer} gave an answer that is none; see whether --issuer is right"),
        )
    })
}

fn refused(answer: &Answer, issuer: &dyn fmt::Display) -> Failure {
    let status = answer.status;
    let said = match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => {
            let Refusal {
                error,
                error_description,
            } = refusal;
            printable(&format!("{error} {error_description}"))
        }
        Err(_no_refusal) => "without a reason".to_owned(),
    };
    let exit = if status.is_server_error() {
        Exit::Unreachable
    } else {
        Exit::Unauthenticated
    };
    Failure::new(
        exit,
        format!(
            "the token issuer {issuer} refuses: {status}, {said}; log in anew with `s2uc login`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(base: &str) -> Issuer {
        Issuer {
            base: base.to_owned(),
            client_id: "us".to_owned(),
            ca: None,
            endpoints: Endpoints::below(base),
        }
    }

    #[test]
    fn the_url_asks_for_the_gateways_scope_with_a_challenge() {
        let issuer = issuer(GLOBUS);
        let login = issuer.login("abc").unwrap();
        let url = login.url();
        assert!(
            url.starts_with("https://auth.globus.org/v2/oauth2/authorize?client%5Fid=us&"),
            "{url}"
        );
        assert!(url.contains("scopes%2Fabc%2Fscistream"), "{url}");
        assert!(url.contains("code%5Fchallenge%5Fmethod=S256"), "{url}");
        assert!(url.contains("access%5Ftype=offline"), "{url}");
        assert!(
            !url.contains(&login.verifier),
            "the verifier is a secret: {url}"
        );
        assert_eq!(login.verifier.len(), 43);
    }

    #[test]
    fn the_token_of_the_scope_is_taken_wherever_the_issuer_put_it() {
        let text = r#"{"access_token":"outer","scope":"openid","expires_in":5,"other_tokens":[
            {"access_token":"inner","scope":"x https://a/b"}]}"#;
        let tokens: Tokens = serde_json::from_str(text).unwrap();
        assert_eq!(tokens.of_scope("https://a/b").access_token, "inner");
        let tokens: Tokens = serde_json::from_str(text).unwrap();
        assert_eq!(tokens.of_scope("openid").access_token, "outer");
    }

    #[test]
    fn a_refusal_is_told_in_the_issuers_words() {
        let answer = Answer {
            status: StatusCode::BAD_REQUEST,
            body: r#"{"error":"invalid_grant","error_description":"used \u001b before"}"#.into(),
        };
        let failure = refused(&answer, &"issuer");
        assert_eq!(failure.exit(), Exit::Unauthenticated);
        assert!(
            failure.to_string().contains("invalid_grant used   before"),
            "{failure}"
        );
    }
}
