//! Whom to believe: certificates that sign gateways' certificates, or are theirs.
//!
//! SciStream's tutorial hands users the gateway's own self-signed certificate (`server.crt`), which
//! by the letter is both an authority and a gateway's, and so refused by strict verifiers. A
//! certificate that is, byte for byte, in the file the user named is therefore believed as it is
//! while it is valid; everything else goes the strict way, name included.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::failure::{Exit, Failure};

/// Where upstream's commands look when no file is named.
pub const DEFAULT_FILE: &str = "server.crt";

/// Whose certificates are believed.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// Those in this file, PEM.
    File(&'a Path),
    /// Those in `server.crt` of the working directory where there is one, else the system's.
    Gateways,
    /// The system's.
    System,
}

/// Our own certificate and its key, for gateways that ask for them.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate's file, PEM.
    pub certificate: &'a Path,
    /// The key's file, PEM.
    pub key: &'a Path,
}

/// TLS settings that believe `roots`, to speak `protocol` (as ALPN names it).
///
/// # Errors
/// When a file cannot be read or holds no certificate.
pub fn settings(
    roots: Roots<'_>,
    identity: Option<Identity<'_>>,
    protocol: &[u8],
) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(default_provider());
    let verifier = Verifier::new(roots, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot set up TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut settings = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = certificates(certificate)?;
            let secret =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| unreadable(key, &error))?
        }
    };
    settings.alpn_protocols = vec![protocol.to_vec()];
    Ok(settings)
}

/// Believes the named certificates themselves and what they, or the system's authorities, signed.
#[derive(Debug)]
struct Verifier {
    named: Vec<CertificateDer<'static>>,
    strict: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(roots: Roots<'_>, provider: &Arc<CryptoProvider>) -> Result<Self, Failure> {
        let default = Path::new(DEFAULT_FILE);
        let file = match roots {
            Roots::File(file) => Some(file),
            Roots::Gateways => default.is_file().then_some(default),
            Roots::System => None,
        };
        let named = file.map(certificates).transpose()?.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        if file.is_some() {
            roots.add_parsable_certificates(named.iter().cloned());
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        // Without any root only the named certificates themselves are believed.
        let strict =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .ok();
        Ok(Self {
            named,
            strict,
            algorithms: provider.signature_verification_algorithms,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.named.iter().any(|named| named == end_entity) {
            valid_at(end_entity, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.strict {
            Some(strict) => strict.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_rest, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|_malformed| CertificateError::BadEncoding)?;
    let validity = parsed.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(file, &error))?;
    let certificates = read
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(file, &error))?;
    if certificates.is_empty() {
        return Err(unreadable(file, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unreadable(file: &Path, why: &dyn fmt::Display) -> Failure {
    let file = file.display();
    Failure::new(
        Exit::Usage,
        format!("cannot use {file} for TLS: {why}; give a file in PEM form"),
    )
}
