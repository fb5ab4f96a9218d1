//! The settings of how callers prove who they are.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{IssuerUrl, Time};

/// The client id that upstream's `s2cs` has as its default; refusals name it.
const DEFAULT_CLIENT_ID: &str = "c42c0dac-0a52-408e-a04f-5d31bfe0aef8";

/// How callers prove who they are.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// This gateway's client id at the token issuer; refusals name it, and old programs find the
    /// right token by it.
    pub client_id: String,
    /// Take every caller for the same, unasked, although the control port is not on loopback. Only
    /// for networks that nobody else can reach.
    pub allow_anyone: bool,
    /// Callers with a certificate of their own.
    pub certificates: Option<CertificateSettings>,
    /// Callers with a token from a file.
    pub tokens: Option<TokenFileSettings>,
    /// Callers with a signed token (OpenID Connect).
    pub jwt: Option<JwtSettings>,
    /// Callers with a token that its issuer is asked about (RFC 7662), such as Globus Auth.
    pub introspection: Option<IntrospectionSettings>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            client_id: DEFAULT_CLIENT_ID.to_owned(),
            allow_anyone: false,
            certificates: None,
            tokens: None,
            jwt: None,
            introspection: None,
        }
    }
}

/// Callers with a certificate; they are called `cert:NAME` by its common name, and by its
/// alternative names.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSettings {
    /// The authorities that vouch for callers, PEM.
    #[schemars(extend("examples" = ["/etc/scistream/callers-ca.crt"]))]
    pub ca: PathBuf,
}

/// Callers with a token from a file; they are called `token:NAME`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenFileSettings {
    /// Lines of `NAME SHA256 [GROUP,…]`, where SHA256 is what `printf %s TOKEN | sha256sum` prints.
    /// A file that others may write or read is refused.
    #[schemars(extend("examples" = ["/etc/scistream/tokens"]))]
    pub file: PathBuf,
}

/// Callers with a signed token; they are called `oidc:SUBJECT`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// Who signs: the token's `iss`, and where its discovery document is.
    #[schemars(extend("examples" = ["https://login.example.org"]))]
    pub issuer: IssuerUrl,
    /// Whom the token must be for: one of its `aud`.
    #[schemars(extend("examples" = ["scistream"]))]
    pub audience: String,
    /// Where the signer's keys are; by default the discovery document says.
    #[schemars(extend("examples" = ["https://login.example.org/jwks"]))]
    pub jwks_url: Option<IssuerUrl>,
    /// The signatures that are accepted.
    #[serde(default = "JwtSettings::default_algorithms")]
    pub algorithms: Vec<SignatureName>,
    /// A scope that the token must have.
    #[schemars(extend("examples" = ["scistream"]))]
    pub scope: Option<String>,
    /// Authorities that vouch for the issuer's own certificate, PEM; by default the system's.
    #[schemars(extend("examples" = ["/etc/scistream/issuer-ca.crt"]))]
    pub ca: Option<PathBuf>,
    /// How long the issuer may take to answer.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
}

impl JwtSettings {
    fn default_algorithms() -> Vec<SignatureName> {
        vec![SignatureName::Rs256, SignatureName::Es256]
    }
}

/// A signature with a public key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SignatureName {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// P-384.
    #[serde(rename = "ES384")]
    Es384,
    /// RSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSA with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
}

/// Callers with a token that its issuer is asked about.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionSettings {
    /// What the issuer is: `globus` asks and judges as Globus Auth wants it, and calls callers
    /// `urn:globus:auth:identity:ID`; `generic` calls them `oidc:SUBJECT`.
    #[serde(default)]
    pub preset: IntrospectionPreset,
    /// The issuer; refusals name it when it does not answer.
    #[serde(default = "IntrospectionSettings::globus")]
    pub issuer: IssuerUrl,
    /// Where it is asked, as a path below the issuer or a whole URL.
    #[schemars(extend("examples" = ["/v2/oauth2/token/introspect"]))]
    pub endpoint: Option<String>,
    /// The file with the secret that goes with `client_id`; a file that others may read is refused.
    #[schemars(extend("examples" = ["/etc/scistream/client-secret"]))]
    pub client_secret_file: Option<PathBuf>,
    /// The secret itself, for programs that hand it over so; better use `client_secret_file`.
    #[schemars(extend("examples" = ["…"]))]
    pub client_secret: Option<Secret>,
    /// Whom the token must be for: one of its `aud`; by default `client_id`.
    #[schemars(extend("examples" = ["c42c0dac-0a52-408e-a04f-5d31bfe0aef8"]))]
    pub audience: Option<String>,
    /// The scope that the token must have; by default that of Globus Auth for `client_id`, and none
    /// for `generic`.
    #[schemars(extend("examples" = ["https://auth.globus.org/scopes/c42c0dac-0a52-408e-a04f-5d31bfe0aef8/scistream"]))]
    pub scope: Option<String>,
    /// How long a good answer is believed; at most 30s.
    #[serde(default = "IntrospectionSettings::default_cache")]
    pub cache: Time,
    /// How long the issuer may take to answer.
    #[serde(default = "default_timeout")]
    pub timeout: Time,
    /// Authorities that vouch for the issuer's own certificate, PEM; by default the system's.
    #[schemars(extend("examples" = ["/etc/scistream/issuer-ca.crt"]))]
    pub ca: Option<PathBuf>,
}

/// What an issuer is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IntrospectionPreset {
    /// Whatever follows RFC 7662.
    Generic,
    /// Globus Auth.
    #[default]
    Globus,
}

impl IntrospectionSettings {
    /// A good answer is believed no longer than this.
    pub const CACHE_MAX: Duration = Duration::from_secs(30);

    /// Globus Auth with this secret, as upstream's `--client_secret` means it.
    pub fn globus_with_secret(secret: Secret) -> Self {
        Self {
            preset: IntrospectionPreset::Globus,
            issuer: Self::globus(),
            endpoint: None,
            client_secret_file: None,
            client_secret: Some(secret),
            audience: None,
            scope: None,
            cache: Self::default_cache(),
            timeout: default_timeout(),
            ca: None,
        }
    }

    fn globus() -> IssuerUrl {
        IssuerUrl::globus()
    }

    fn default_cache() -> Time {
        Time(Self::CACHE_MAX)
    }
}

fn default_timeout() -> Time {
    Time(Duration::from_secs(5))
}

/// Text that is never written to logs.
#[derive(Clone, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct Secret(
    /// The text.
    pub String,
);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
