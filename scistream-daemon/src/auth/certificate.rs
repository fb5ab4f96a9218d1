//! Callers by their certificates, which TLS has verified already.

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::policy::Subject;

/// Who a certificate is about: its common name, else the first of its alternative names. `None` for
/// one without a name.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> Option<Subject> {
    let (_rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| {
        let names = names.value.general_names.iter();
        names.filter_map(|name| match name {
            GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
                Some(*name)
            }
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        })
    });
    let mut names = common.chain(alternative).filter(|name| !name.is_empty());
    let mut subject = Subject::named(format!("cert:{}", names.next()?));
    subject
        .identities
        .extend(names.map(|name| format!("cert:{name}")));
    Some(subject)
}
