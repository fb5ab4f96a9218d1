//! Tokens that carry their issuer's signature (OpenID Connect): checked here, with keys fetched from
//! the issuer and kept.
//!
//! Only signatures with public keys, and of those only the ones the settings name: what a token says
//! of its own algorithm is a claim like any other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::claims::{Claims, Required};
use super::https::{Https, HttpsError};
use super::introspection::seconds_since_1970;
use super::{AuthError, AuthSetupError, Rejection};
use crate::config::{IntrospectionPreset, IssuerUrl, JwtSettings, SignatureName};
use crate::policy::Subject;

/// Keys are asked for again after this time.
const KEYS_TIME: Duration = Duration::from_secs(3_600);

/// An unknown key makes us ask at most this often.
const ASK_INTERVAL: Duration = Duration::from_secs(10);

/// Keys of a later time serve while the issuer is silent, for at most this long.
const STALE_TIME: Duration = Duration::from_secs(24 * 3_600);

/// Where an issuer says where its keys are.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Checks signed tokens of one issuer.
#[derive(Debug)]
pub(super) struct SignedTokens {
    https: Https,
    issuer: IssuerUrl,
    jwks_url: Option<IssuerUrl>,
    algorithms: Vec<Algorithm>,
    audience: String,
    required: Required,
    keys: Mutex<Option<Keys>>,
}

#[derive(Debug)]
struct Keys {
    set: Arc<JwkSet>,
    fetched: Instant,
    asked: Instant,
}

/// What is read of a discovery document.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: IssuerUrl,
}

/// Whether this has the form of a signed token. Whether it is one remains to be seen.
pub(super) fn looks_signed(token: &str) -> bool {
    token.starts_with("ey") && token.split('.').count() == 3
}

impl SignedTokens {
    pub(super) fn new(settings: &JwtSettings) -> Result<Self, AuthSetupError> {
        Ok(Self {
            https: Https::new(settings.ca.as_deref(), settings.timeout.0)?,
            issuer: settings.issuer.clone(),
            jwks_url: settings.jwks_url.clone(),
            algorithms: settings
                .algorithms
                .iter()
                .map(|name| algorithm(*name))
                .collect(),
            audience: settings.audience.clone(),
            required: Required {
                audience: None,
                scope: settings.scope.clone(),
            },
            keys: Mutex::default(),
        })
    }

    /// Who signed tokens are about.
    pub(super) async fn identify(
        &self,
        token: &str,
    ) -> Result<Result<Subject, Rejection>, AuthError> {
        let Ok(header) = decode_header(token) else {
            return Ok(Err(Rejection::Malformed));
        };
        if !self.algorithms.contains(&header.alg) {
            return Ok(Err(Rejection::Signature));
        }
        let keys = self
            .keys_with(header.kid.as_deref())
            .await
            .map_err(|cause| AuthError::Unavailable {
                issuer: self.issuer.clone(),
                cause: Arc::new(cause),
            })?;
        let key = match &header.kid {
            Some(kid) => keys.find(kid),
            None if keys.keys.len() == 1 => keys.keys.first(),
            None => None,
        };
        let Some(key) = key.and_then(|key| DecodingKey::from_jwk(key).ok()) else {
            return Ok(Err(Rejection::Signature));
        };
        Ok(self.check(token, header.alg, &key))
    }

    fn check(
        &self,
        token: &str,
        algorithm: Algorithm,
        key: &DecodingKey,
    ) -> Result<Subject, Rejection> {
        use jsonwebtoken::errors::ErrorKind;

        let mut validation = Validation::new(algorithm);
        validation.leeway = 3;
        validation.validate_nbf = true;
        validation.set_audience(&[&self.audience]);
        // An issuer may write itself with a slash at the end, or without.
        let issuer = self.issuer.to_string();
        let bare = issuer.trim_end_matches('/');
        validation.set_issuer(&[bare.to_owned(), format!("{bare}/")]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the library may add kinds; all others mean the same here"
        )]
        let decoded =
            decode::<Claims>(token, key, &validation).map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Rejection::Time,
                ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => Rejection::Audience,
                ErrorKind::InvalidSignature => Rejection::Signature,
                _ => Rejection::Malformed,
            })?;
        // A signature that is in force is what `active` says elsewhere.
        let claims = Claims {
            active: true,
            ..decoded.claims
        };
        claims.check(&self.required, seconds_since_1970())?;
        claims.subject(IntrospectionPreset::Generic)
    }

    /// The issuer's keys; fetched when they are old, or when this one is not among them.
    async fn keys_with(&self, kid: Option<&str>) -> Result<Arc<JwkSet>, HttpsError> {
        let mut kept = self.keys.lock().await;
        let now = Instant::now();
        if let Some(keys) = &*kept {
            let is_known = kid.is_none_or(|kid| keys.set.find(kid).is_some());
            let is_fresh = now.duration_since(keys.fetched) < KEYS_TIME;
            let was_just_asked = now.duration_since(keys.asked) < ASK_INTERVAL;
            if is_known && is_fresh || was_just_asked {
                return Ok(Arc::clone(&keys.set));
            }
        }
        match self.fetch().await {
            Ok(set) => {
                let set = Arc::new(set);
                *kept = Some(Keys {
                    set: Arc::clone(&set),
                    fetched: now,
                    asked: now,
                });
                Ok(set)
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "the issuer's keys could not be fetched");
                let keys = kept
                    .as_mut()
                    .filter(|keys| now.duration_since(keys.fetched) < STALE_TIME);
                let keys = keys.ok_or(error)?;
                keys.asked = now;
                Ok(Arc::clone(&keys.set))
            }
        }
    }

    async fn fetch(&self) -> Result<JwkSet, HttpsError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        parse(&self.https.get(&url).await?)
    }

    async fn discover(&self) -> Result<IssuerUrl, HttpsError> {
        let url = self.issuer.join(DISCOVERY).ok_or(HttpsError::Url)?;
        let document: Discovery = parse(&self.https.get(&url).await?)?;
        let own = self.issuer.to_string();
        if document.issuer.trim_end_matches('/') != own.trim_end_matches('/') {
            return Err(HttpsError::Malformed);
        }
        Ok(document.jwks_uri)
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, HttpsError> {
    serde_json::from_slice(body).map_err(|_json| HttpsError::Malformed)
}

fn algorithm(name: SignatureName) -> Algorithm {
    match name {
        SignatureName::EdDsa => Algorithm::EdDSA,
        SignatureName::Es256 => Algorithm::ES256,
        SignatureName::Es384 => Algorithm::ES384,
        SignatureName::Ps256 => Algorithm::PS256,
        SignatureName::Rs256 => Algorithm::RS256,
        SignatureName::Rs384 => Algorithm::RS384,
        SignatureName::Rs512 => Algorithm::RS512,
    }
}
