//! One request to a token issuer, and its answer.

use std::path::Path;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::transport::{Security, dial};
use super::trust::{self, Roots};
use crate::cli::HostPort;

/// Answers of issuers fit in a fraction of this.
const LENGTH_MAX: usize = 1 << 20;

/// What an issuer answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, which may hold tokens.
    pub body: Bytes,
}

/// Sends a form.
///
/// # Errors
/// When the issuer cannot be reached in time; any answer is a success.
pub async fn post_form(
    url: &str,
    fields: &[(&str, &str)],
    ca: Option<&Path>,
    deadline: Deadline,
) -> Result<Answer, Failure> {
    let body = Bytes::from(form(fields));
    ask(url, Method::POST, body, ca, deadline).await
}

/// Asks for a document.
///
/// # Errors
/// As [`post_form`].
pub async fn fetch(url: &str, ca: Option<&Path>, deadline: Deadline) -> Result<Answer, Failure> {
    ask(url, Method::GET, Bytes::new(), ca, deadline).await
}

/// Fields as a form or a query carries them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    fields.join("&")
}

async fn ask(
    url: &str,
    method: Method,
    body: Bytes,
    ca: Option<&Path>,
    deadline: Deadline,
) -> Result<Answer, Failure> {
    let (host, security, uri) = destination(url, ca)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host.to_string())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(body))
        .map_err(|error| no_answer(&host, &error))?;
    let doing = || format!("asking the token issuer {host}");
    deadline
        .bound(doing, exchange(&host, &security, request))
        .await?
}

async fn exchange(
    host: &HostPort,
    security: &Security,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Failure> {
    let dialled = dial(host, security).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(dialled.stream))
        .await
        .map_err(|error| no_answer(host, &error))?;
    let talk = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| no_answer(host, &error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LENGTH_MAX)
            .collect()
            .await;
        let body = body.map_err(|error| no_answer(host, &*error))?.to_bytes();
        Ok(Answer { status, body })
    };
    let connection = async {
        // How it ends is told by the exchange itself.
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = talk => answer,
        () = connection => Err(no_answer(host, &"the connection ended")),
    }
}

/// Where a URL leads. Without TLS only to this very host: a token must not cross a network bare.
fn destination(url: &str, ca: Option<&Path>) -> Result<(HostPort, Security, Uri), Failure> {
    let bad = |why: &str| {
        Failure::new(
            Exit::Usage,
            format!("{url} is no address of an issuer: {why}"),
        )
    };
    let uri: Uri = url.parse().map_err(|_invalid| bad("it is no URL"))?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return Err(bad("it must begin with https://")),
    };
    let name = uri.host().ok_or_else(|| bad("it has no host"))?.to_owned();
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let host: HostPort = format!("{name}:{port}")
        .parse()
        .map_err(|_invalid| bad("its host is none"))?;
    if tls {
        let roots = ca.map_or(Roots::System, Roots::File);
        let settings = trust::settings(roots, None, b"http/1.1")?;
        return Ok((host, Security::Tls(Arc::new(settings)), uri));
    }
    let loopback = host.literal().is_some_and(|it| it.ip().is_loopback());
    if !loopback && host.host() != "localhost" {
        return Err(bad("a token would be sent without TLS; use https://"));
    }
    Ok((host, Security::Plaintext, uri))
}

fn no_answer(host: &HostPort, why: &(impl std::fmt::Display + ?Sized)) -> Failure {
    Failure::new(
        Exit::Unreachable,
        format!("the token issuer {host} gives no answer: {why}; try again later"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded() {
        let form = form(&[("a b", "c&d=e"), ("scope", "https://x/y")]);
        assert_eq!(form, "a%20b=c%26d%3De&scope=https%3A%2F%2Fx%2Fy");
    }

    #[test]
    fn a_token_crosses_no_network_without_tls() {
        assert!(destination("http://issuer.example/token", None).is_err());
        assert!(destination("http://127.0.0.1:8080/token", None).is_ok());
        assert!(destination("http://localhost/token", None).is_ok());
        let (host, ..) = destination("https://issuer.example/token", None).unwrap();
        assert_eq!(host.to_string(), "issuer.example:443");
        for url in ["", "issuer.example", "ftp://issuer.example", "https://"] {
            assert!(destination(url, None).is_err(), "{url}");
        }
    }
}
