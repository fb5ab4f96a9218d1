//! One question to an issuer over HTTP: bounded in time and size, verified by its certificate.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::AuthSetupError;
use crate::config::IssuerUrl;

/// An answer is at most so long.
const ANSWER_MAX: usize = 1 << 20;

/// Why an issuer could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// It cannot be reached, or its certificate is not good.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// It broke off.
    #[error("the answer broke off: {0}")]
    Http(#[from] hyper::Error),
    /// Its answer makes no sense.
    #[error("the answer makes no sense")]
    Malformed,
    /// It refuses.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// It takes too long.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// Its URL cannot be asked.
    #[error("the URL cannot be asked")]
    Url,
}

impl HttpsError {
    /// What went wrong, for callers: without addresses.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::NoConnection,
            Self::Http(_) | Self::Malformed | Self::Url => Kind::NoSense,
            Self::Status(status) => Kind::Status(*status),
            Self::TimedOut(_) => Kind::TimeOut,
        }
    }
}

/// What went wrong, for callers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It cannot be reached.
    NoConnection,
    /// Its answer makes no sense.
    NoSense,
    /// It refuses.
    Status(StatusCode),
    /// It takes too long.
    TimeOut,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConnection => f.write_str("no connection"),
            Self::NoSense => f.write_str("its answer makes no sense"),
            Self::Status(status) => write!(f, "it answers {}", status.as_u16()),
            Self::TimeOut => f.write_str("no answer in time"),
        }
    }
}

/// How issuers are asked.
#[derive(Clone, Debug)]
pub(super) struct Https {
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl Https {
    /// Trusts the authorities of a file, or the system's.
    pub(super) fn new(ca: Option<&Path>, timeout: Duration) -> Result<Self, AuthSetupError> {
        let failed = |cause: String| AuthSetupError::Authorities {
            place: ca.map(Path::to_owned),
            cause,
        };
        let certificates: Vec<CertificateDer<'static>> = match ca {
            Some(path) => CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|error| failed(error.to_string()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        let (_added, _ignored) = roots.add_parsable_certificates(certificates);
        if roots.is_empty() && ca.is_some() {
            return Err(failed("it holds no certificate".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(config),
            timeout,
        })
    }

    /// Gets a document.
    pub(super) async fn get(&self, url: &IssuerUrl) -> Result<Bytes, HttpsError> {
        let request = self.request(Method::GET, url)?.body(Full::default());
        self.ask(url, request.map_err(|_url| HttpsError::Url)?)
            .await
    }

    /// Posts a form, with HTTP Basic credentials.
    pub(super) async fn post_form(
        &self,
        url: &IssuerUrl,
        credentials: &str,
        form: String,
    ) -> Result<Bytes, HttpsError> {
        let request = self
            .request(Method::POST, url)?
            .header(header::AUTHORIZATION, credentials)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form));
        self.ask(url, request.map_err(|_url| HttpsError::Url)?)
            .await
    }

    fn request(
        &self,
        method: Method,
        url: &IssuerUrl,
    ) -> Result<http::request::Builder, HttpsError> {
        let authority = url.uri().authority().ok_or(HttpsError::Url)?;
        let path = url.uri().path_and_query().map_or("/", |path| path.as_str());
        Ok(Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, authority.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close"))
    }

    async fn ask(
        &self,
        url: &IssuerUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, HttpsError> {
        let answer = self.connect_and_ask(url, request);
        tokio::time::timeout(self.timeout, answer)
            .await
            .unwrap_or(Err(HttpsError::TimedOut(self.timeout)))
    }

    async fn connect_and_ask(
        &self,
        url: &IssuerUrl,
        request: Request<Full<Bytes>>,
    ) -> Result<Bytes, HttpsError> {
        let host = url.uri().host().ok_or(HttpsError::Url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = url.uri().scheme_str() == Some("https");
        let port = url
            .uri()
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(HttpsError::Connect)?;
        if !is_tls {
            return exchange(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_name| HttpsError::Url)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(HttpsError::Connect)?;
        exchange(stream, request).await
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpsError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answering = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(HttpsError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await;
        body.map(|body| body.to_bytes())
            .map_err(|_too_long_or_broken| HttpsError::Malformed)
    };
    tokio::pin!(answering);
    tokio::pin!(connection);
    let mut is_over = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answering => return answer,
            // The answer may still be in what was read before the end.
            ended = &mut connection, if !is_over => {
                ended?;
                is_over = true;
            }
        }
    }
}
