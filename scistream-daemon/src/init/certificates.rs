//! An authority of our own, and this gateway's certificate signed by it.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::InitError;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The authority outlives the certificates it signs; those have to be renewed every other year.
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3_650);
const LIFETIME: Duration = DAY.saturating_mul(730);

/// Clocks of users may be behind ours.
const BEHIND: Duration = DAY;

/// PEM of everything.
pub(super) struct Certificates {
    pub(super) ca_certificate: String,
    pub(super) ca_key: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Certificates {
    /// Makes the authority and a certificate for `names`, both with P-256 keys.
    pub(super) fn make(names: &[String]) -> Result<Self, rcgen::Error> {
        let host = names.first().map_or("localhost", String::as_str);
        let now = SystemTime::now();

        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name = name(&format!("SciStream authority of {host}"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.not_before = (now - BEHIND).into();
        ca.not_after = (now + AUTHORITY_LIFETIME).into();
        let ca_certificate = ca.self_signed(&ca_key)?.pem();
        let ca_pem = ca_key.serialize_pem();
        let issuer = Issuer::new(ca, ca_key);

        let key = KeyPair::generate()?;
        let mut own = CertificateParams::new(names)?;
        own.distinguished_name = name(host);
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.use_authority_key_identifier_extension = true;
        own.not_before = (now - BEHIND).into();
        own.not_after = (now + LIFETIME).into();
        Ok(Self {
            ca_certificate,
            ca_key: ca_pem,
            certificate: own.signed_by(&key, &issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Whether the certificate that is there holds `names` and has not ended.
pub(super) fn check(path: &Path, names: &[String]) -> Result<(), InitError> {
    let stale = |why: String| InitError::Stale {
        path: path.to_owned(),
        why,
    };
    let text = fs::read(path).map_err(|cause| InitError::File {
        path: path.to_owned(),
        cause,
    })?;
    let no_certificate = || stale("is no certificate".to_owned());
    let (_rest, pem) = parse_x509_pem(&text).map_err(|_malformed| no_certificate())?;
    let certificate = pem.parse_x509().map_err(|_malformed| no_certificate())?;
    if !certificate.validity().is_valid() {
        return Err(stale("has ended".to_owned()));
    }
    let alternatives = certificate.subject_alternative_name();
    let alternatives = alternatives.ok().flatten();
    let held = |wanted: &str| {
        let names = alternatives.as_ref().map(|it| &it.value.general_names);
        names.is_some_and(|names| names.iter().any(|name| is(name, wanted)))
    };
    match names.iter().find(|name| !held(name)) {
        Some(missing) => Err(stale(format!("does not hold the name {missing}"))),
        None => Ok(()),
    }
}

fn is(name: &GeneralName<'_>, wanted: &str) -> bool {
    if let GeneralName::DNSName(name) = name {
        return *name == wanted;
    }
    let GeneralName::IPAddress(octets) = name else {
        return false;
    };
    match wanted.parse() {
        Ok(IpAddr::V4(ip)) => *octets == ip.octets(),
        Ok(IpAddr::V6(ip)) => *octets == ip.octets(),
        Err(_name) => false,
    }
}
