//! Who calls: certificates and tokens, and what their issuers say about them.
//!
//! ```text
//!   certificate ─┐
//!   token file   ├─► Authentication::identify ─► Subject
//!   signed token │        │
//!   issuer asked ┘        └─ missing, invalid: refused · issuer silent: refused, and said so
//! ```
//!
//! What they may do is decided in [`crate::policy`]. Tokens are never logged, and never kept: the
//! cache knows their digests.

mod certificate;
mod claims;
mod digest;
mod https;
mod introspection;
mod jwt;
mod secret_file;
mod token_file;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::config::{AuthSettings, IssuerUrl};
use crate::policy::Subject;
use introspection::Introspection;
use jwt::SignedTokens;
use token_file::TokenFile;

pub use digest::{NoDigest, TokenDigest};
pub use https::{HttpsError, Kind as HttpsErrorKind};
pub use secret_file::{SecretFileError, read_secret};
pub use token_file::TokenFileError;

/// What old programs send when they have no token.
const NO_TOKEN: &str = "INVALID_TOKEN";

/// Why a caller is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token is none of ours, expired, revoked, or for someone else.
    #[error("Authentication token is invalid for scope {client_id}")]
    Invalid {
        /// The gateway's client id.
        client_id: Arc<str>,
        /// Why, for our log alone: a caller is not taught what to forge.
        reason: Rejection,
    },
    /// There is no token.
    #[error("Authentication token is missing for scope {client_id}")]
    Missing {
        /// The gateway's client id.
        client_id: Arc<str>,
    },
    /// The issuer could not be asked.
    #[error("the token issuer {issuer} cannot be reached ({}); try again later", .cause.kind())]
    Unavailable {
        /// Its URL.
        issuer: IssuerUrl,
        /// What went wrong, in full for our log.
        cause: Arc<HttpsError>,
    },
}

/// Why a token is not good.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// It is for someone else.
    #[error("it is not meant for this gateway")]
    Audience,
    /// Its issuer says that it is not in force.
    #[error("its issuer says that it is not active")]
    Inactive,
    /// What its issuer says of it makes no sense.
    #[error("its claims cannot be understood")]
    Malformed,
    /// It has not this scope.
    #[error("it has not the scope {0}")]
    Scope(String),
    /// Its signature is not its issuer's.
    #[error("its signature is not good")]
    Signature,
    /// It is not valid yet, or not any more.
    #[error("it is not valid at this time")]
    Time,
    /// Nobody knows it.
    #[error("it is not known")]
    Unknown,
}

/// Why callers cannot be asked who they are.
#[derive(Debug, thiserror::Error)]
pub enum AuthSetupError {
    /// The issuer's authorities cannot be used.
    #[error("{}: {cause}; check auth's `ca`, or install the system's certificates (ca-certificates)", place.as_ref().map_or("the system's certificates".into(), |path| path.display().to_string()))]
    Authorities {
        /// The file; `None` for the system's.
        place: Option<PathBuf>,
        /// What is wrong.
        cause: String,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// The token file cannot be used.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// A setting names no place that can be asked.
    #[error("auth.introspection.endpoint: `{0}` is no path and no https:// URL")]
    Url(String),
}

/// What a caller shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// The certificate of its connection, which TLS has verified, first of its chain.
    pub certificate: Option<&'a CertificateDer<'a>>,
    /// The `authorization` of its call.
    pub authorization: Option<&'a str>,
}

/// Finds out who calls.
#[derive(Debug)]
pub struct Authentication {
    client_id: Arc<str>,
    anyone: bool,
    tokens: Option<TokenFile>,
    jwt: Option<SignedTokens>,
    introspection: Option<Introspection>,
}

impl Authentication {
    /// Sets up what the settings ask for; without any of it, everyone is the same caller.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn new(settings: &AuthSettings) -> Result<Self, AuthSetupError> {
        let AuthSettings {
            client_id,
            allow_anyone: _,
            certificates,
            tokens,
            jwt,
            introspection,
        } = settings;
        let asked = [
            certificates.is_some(),
            tokens.is_some(),
            jwt.is_some(),
            introspection.is_some(),
        ];
        let tokens = tokens.as_ref().map(|tokens| TokenFile::open(&tokens.file));
        let jwt = jwt.as_ref().map(SignedTokens::new);
        let introspection = introspection
            .as_ref()
            .map(|settings| Introspection::new(settings, client_id));
        Ok(Self {
            client_id: client_id.as_str().into(),
            anyone: !asked.contains(&true),
            tokens: tokens.transpose()?,
            jwt: jwt.transpose()?,
            introspection: introspection.transpose()?,
        })
    }

    /// Finds out who calls.
    ///
    /// # Errors
    /// When that is not to be found out.
    pub async fn identify(&self, shown: Credentials<'_>) -> Result<Subject, AuthError> {
        if self.anyone {
            return Ok(Subject::anonymous());
        }
        if let Some(subject) = shown.certificate.and_then(certificate::subject) {
            return Ok(subject);
        }
        let token = shown.authorization.map(bare_token).unwrap_or_default();
        if token.is_empty() {
            let client_id = Arc::clone(&self.client_id);
            return Err(AuthError::Missing { client_id });
        }
        if token == NO_TOKEN {
            return Err(self.invalid(Rejection::Unknown));
        }
        self.identify_by_token(token).await
    }

    /// Each way that is set up has its say: the first that knows the token decides.
    async fn identify_by_token(&self, token: &str) -> Result<Subject, AuthError> {
        let digest = TokenDigest::of(token);
        if let Some(subject) = self.tokens.as_ref().and_then(|tokens| tokens.find(&digest)) {
            return Ok(subject);
        }
        let mut rejection = Rejection::Unknown;
        if let Some(jwt) = self.jwt.as_ref().filter(|_| jwt::looks_signed(token)) {
            match jwt.identify(token).await? {
                Ok(subject) => return Ok(subject),
                Err(why) => rejection = why,
            }
        }
        if let Some(introspection) = &self.introspection {
            match introspection.identify(token, digest).await? {
                Ok(subject) => return Ok(subject),
                Err(why) => rejection = why,
            }
        }
        Err(self.invalid(rejection))
    }

    fn invalid(&self, reason: Rejection) -> AuthError {
        AuthError::Invalid {
            client_id: Arc::clone(&self.client_id),
            reason,
        }
    }
}

/// The token of an `authorization`, with or without `Bearer ` before it.
fn bare_token(authorization: &str) -> &str {
    let authorization = authorization.trim();
    let (scheme, token) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        token.trim()
    } else {
        authorization
    }
}

#[cfg(test)]
mod tests;
