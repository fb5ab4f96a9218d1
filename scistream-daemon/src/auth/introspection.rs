//! Tokens that their issuer is asked about (RFC 7662), with a memory for the answers.
//!
//! One question at a time about each token: a hundred calls with a new token cost one. Good answers
//! are believed for up to 30 s, bad ones and silence for less; silence is never taken for consent.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::claims::{Claims, Required};
use super::digest::TokenDigest;
use super::https::{Https, HttpsError};
use super::secret_file::read_secret;
use super::{AuthError, AuthSetupError, Rejection};
use crate::config::{IntrospectionPreset, IntrospectionSettings, IssuerUrl};
use crate::policy::Subject;

/// Where Globus Auth, and stand-ins for it, answer.
const GLOBUS_ENDPOINT: &str = "/v2/oauth2/token/introspect";

/// Where others answer unless the settings say otherwise.
const GENERIC_ENDPOINT: &str = "/introspect";

/// How long a bad answer is remembered.
const BAD_ANSWER_TIME: Duration = Duration::from_secs(5);

/// How long silence is remembered: calls that waited with the first are not kept longer than it.
const SILENCE_TIME: Duration = Duration::from_secs(1);

/// Tokens remembered.
const REMEMBERED_MAX: usize = 16_384;

/// Questions under way at once: strangers with made-up tokens must not have us flood the issuer.
const QUESTIONS_MAX: usize = 32;

/// Longer than any token in use.
const TOKEN_MAX: usize = 8_192;

/// What is known of a token.
type Answer = Result<Result<Subject, Rejection>, Arc<HttpsError>>;

/// Asks an issuer about tokens.
pub(super) struct Introspection {
    https: Https,
    issuer: IssuerUrl,
    endpoint: IssuerUrl,
    preset: IntrospectionPreset,
    credentials: String,
    required: Required,
    good_for: Duration,
    answers: Mutex<HashMap<TokenDigest, Arc<Slot>>>,
    questions: Semaphore,
}

/// The place of one token's answer; whoever holds it asks.
#[derive(Default)]
struct Slot {
    answer: AsyncMutex<Option<(Instant, Answer)>>,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Introspection {
    pub(super) fn new(
        settings: &IntrospectionSettings,
        client_id: &str,
    ) -> Result<Self, AuthSetupError> {
        let secret = match (&settings.client_secret_file, &settings.client_secret) {
            (Some(path), _) => read_secret(path)?.trim().to_owned(),
            (None, Some(secret)) => secret.0.clone(),
            (None, None) => String::new(),
        };
        let required = match settings.preset {
            IntrospectionPreset::Globus => Required {
                audience: Some(client_id.to_owned()),
                scope: Some(format!(
                    "https://auth.globus.org/scopes/{client_id}/scistream"
                )),
            },
            IntrospectionPreset::Generic => Required {
                audience: Some(client_id.to_owned()),
                scope: None,
            },
        };
        Ok(Self {
            https: Https::new(settings.ca.as_deref(), settings.timeout.0)?,
            issuer: settings.issuer.clone(),
            endpoint: endpoint(settings)?,
            preset: settings.preset,
            credentials: basic(client_id, &secret),
            required: Required {
                audience: settings.audience.clone().or(required.audience),
                scope: settings.scope.clone().or(required.scope),
            },
            good_for: settings.cache.0,
            answers: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_MAX),
        })
    }

    /// Who the token's caller is, by what its issuer says now or said a moment ago.
    pub(super) async fn identify(
        &self,
        token: &str,
        digest: TokenDigest,
    ) -> Result<Result<Subject, Rejection>, AuthError> {
        if token.len() > TOKEN_MAX {
            return Ok(Err(Rejection::Malformed));
        }
        let slot = self.slot(digest);
        let mut remembered = slot.answer.lock().await;
        let answer = match &*remembered {
            Some((until, answer)) if Instant::now() < *until => answer.clone(),
            Some(_) | None => {
                let answer = self.ask(token).await;
                *remembered = Some((Instant::now() + self.time_of(&answer), answer.clone()));
                answer
            }
        };
        answer.map_err(|cause| AuthError::Unavailable {
            issuer: self.issuer.clone(),
            cause,
        })
    }

    /// The place for a token's answer. When all are taken, those without a fresh answer are given up;
    /// when none is, this answer is not remembered.
    fn slot(&self, digest: TokenDigest) -> Arc<Slot> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = answers.get(&digest) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::default());
        if answers.len() >= REMEMBERED_MAX {
            let now = Instant::now();
            answers.retain(|_, slot| {
                let Ok(answer) = slot.answer.try_lock() else {
                    return true;
                };
                answer.as_ref().is_some_and(|(until, _)| now < *until)
            });
        }
        if answers.len() < REMEMBERED_MAX {
            answers.insert(digest, Arc::clone(&slot));
        }
        slot
    }

    async fn ask(&self, token: &str) -> Answer {
        let asked = async {
            // Never closed.
            let _turn = self.questions.acquire().await;
            let form = self.form(token);
            let body = self
                .https
                .post_form(&self.endpoint, &self.credentials, form)
                .await?;
            serde_json::from_slice::<Claims>(&body).map_err(|_json| HttpsError::Malformed)
        };
        match asked.await {
            Ok(claims) => Ok(self.judge(&claims)),
            Err(cause) => {
                tracing::warn!(issuer = %self.issuer, %cause, "the token issuer could not be asked; callers with its tokens are refused");
                Err(Arc::new(cause))
            }
        }
    }

    fn judge(&self, claims: &Claims) -> Result<Subject, Rejection> {
        claims.check(&self.required, seconds_since_1970())?;
        claims.subject(self.preset)
    }

    fn form(&self, token: &str) -> String {
        let token = form_encoded(token);
        match self.preset {
            IntrospectionPreset::Generic => format!("token={token}&token_type_hint=access_token"),
            IntrospectionPreset::Globus => format!("token={token}&include=identity_set"),
        }
    }

    fn time_of(&self, answer: &Answer) -> Duration {
        match answer {
            Ok(Ok(_subject)) => self.good_for,
            Ok(Err(_rejection)) => BAD_ANSWER_TIME.min(self.good_for),
            Err(_silence) => SILENCE_TIME,
        }
    }
}

fn endpoint(settings: &IntrospectionSettings) -> Result<IssuerUrl, AuthSetupError> {
    let default = match settings.preset {
        IntrospectionPreset::Generic => GENERIC_ENDPOINT,
        IntrospectionPreset::Globus => GLOBUS_ENDPOINT,
    };
    let endpoint = settings.endpoint.as_deref().unwrap_or(default);
    let url = if endpoint.starts_with('/') {
        settings.issuer.join(endpoint)
    } else {
        endpoint.parse().ok()
    };
    url.ok_or_else(|| AuthSetupError::Url(endpoint.to_owned()))
}

/// Seconds since 1970, as claims count time.
pub(super) fn seconds_since_1970() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
fn basic(user: &str, secret: &str) -> String {
    let pair = format!("{}:{}", form_encoded(user), form_encoded(secret));
    format!("Basic {}", base64(pair.as_bytes()))
}

fn form_encoded(text: &str) -> String {
    use fmt::Write as _;

    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let block = chunk
            .iter()
            .fold(0_u32, |block, byte| block << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = block >> (18 - 6 * place) & 0x3f;
            let is_padding = place > chunk.len();
            text.push(if is_padding {
                '='
            } else {
                char::from(DIGITS[digit as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_the_standards_say() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(form_encoded("a b&c=é"), "a%20b%26c%3D%C3%A9");
        assert_eq!(
            basic("Aladdin", "open:sesame"),
            "Basic QWxhZGRpbjpvcGVuJTNBc2VzYW1l"
        );
    }

    #[test]
    fn globus_is_asked_where_it_answers_and_others_where_they_are_said_to() {
        let mut settings =
            IntrospectionSettings::globus_with_secret(crate::config::Secret("s".to_owned()));
        let text = |settings: &IntrospectionSettings| endpoint(settings).unwrap().to_string();
        assert_eq!(
            text(&settings),
            "https://auth.globus.org/v2/oauth2/token/introspect"
        );
        settings.endpoint = Some("/x".to_owned());
        assert_eq!(text(&settings), "https://auth.globus.org/x");
        settings.endpoint = Some("https://other.org/y".to_owned());
        assert_eq!(text(&settings), "https://other.org/y");
        settings.endpoint = Some("x".to_owned());
        assert!(endpoint(&settings).is_err());
    }
}
