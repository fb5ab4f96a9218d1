//! TLS on the control port: the certificate and key from files, and, where callers show
//! certificates, the authorities that vouch for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::auth::{SecretFileError, read_secret};
use crate::config::Settings;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it must be.
    #[error("{}: {problem}; {advice}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// The key cannot be read, or everyone can.
    #[error(transparent)]
    Key(#[from] SecretFileError),
    /// Certificate and key are not made for each other, or not for TLS.
    #[error("the certificate {} and the key {} cannot be used: {cause}; give a pair that belongs together", certificate.display(), key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What TLS says.
        cause: rustls::Error,
    },
}

/// Sets up TLS as the settings say.
///
/// # Errors
/// Files that cannot be used.
pub(super) fn configure(settings: &Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate = &settings.control.server_crt;
    let key = &settings.control.server_key;
    let chain = certificates(certificate)?;
    let private = private_key(key)?;
    let pair = |cause| TlsError::Pair {
        certificate: certificate.clone(),
        key: key.clone(),
        cause,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(pair)?;
    let builder = match &settings.auth.certificates {
        Some(callers) => builder.with_client_cert_verifier(verifier(&callers.ca, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, private).map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Tickets cost a caller that reconnects nothing it needs, and us keys to keep.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A caller without a certificate is let through here: it may have a token.
fn verifier(
    ca: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let failed = |problem: String| TlsError::File {
        path: ca.to_owned(),
        problem,
        advice: "give the authorities of callers' certificates in PEM",
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |problem: String| TlsError::File {
        path: path.to_owned(),
        problem,
        advice: "give a certificate in PEM; `s2cs init` makes one with all names of this host",
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_secret(path)?;
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| TlsError::File {
        path: path.to_owned(),
        problem: error.to_string(),
        advice: "give the certificate's private key in PEM, without a passphrase",
    })
}
