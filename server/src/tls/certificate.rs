//! A certificate with its key, as read from two files, and what TLS and SASL must know of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

use super::error::{CertificateError, CertificateFault};

/// No chain and no key comes near it.
pub const FILE_MAX_BYTES: u64 = 1 << 20;

/// A certificate whose key fits.
#[derive(Debug)]
pub struct Certificate {
    /// The certificate's file.
    pub file: PathBuf,
    pub certified: Arc<CertifiedKey>,
    /// The names that it is for, in lower-case ASCII; `*.` may stand before one.
    pub names: Vec<String>,
    /// Seconds since 1970, when it begins and ceases to be valid.
    pub valid: (i64, i64),
    /// SHA-256.
    pub fingerprint: [u8; 32],
    /// What `tls-server-end-point` binds to. `None` where RFC 5929 section 4.1 leaves it undefined.
    pub end_point: Option<Vec<u8>>,
}

/// Where a pair is, and which table of the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `tls.certificates[0]`, for instance.
    pub table: String,
}

impl PairFiles {
    /// Reads both and checks that they belong together. An expired certificate is accepted.
    pub fn load(&self, provider: &CryptoProvider) -> Result<Certificate, CertificateError> {
        let chain = read(&self.certificate)
            .and_then(|pem| parse_chain(&pem))
            .map_err(|fault| self.certificate_error(fault))?;
        let parsed = chain.first().ok_or(CertificateFault::NoCertificate).and_then(Parsed::new);
        let parsed = parsed.map_err(|fault| self.certificate_error(fault))?;
        let key = read(&self.key).and_then(|pem| parse_key(&pem)).map_err(|fault| self.key_error(fault))?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| self.key_error(CertificateFault::BadKey(error.to_string())))?;

        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(_)) => {
                let certificate = self.certificate.clone();
                return Err(self.key_error(CertificateFault::OtherKey { certificate }));
            }
            Err(error) => {
                return Err(self.certificate_error(CertificateFault::BadCertificate(error.to_string())));
            }
        }
        let Parsed { names, valid, fingerprint, end_point } = parsed;
        let file = self.certificate.clone();
        Ok(Certificate { file, certified: Arc::new(certified), names, valid, fingerprint, end_point })
    }

    fn certificate_error(&self, fault: CertificateFault) -> CertificateError {
        CertificateError { key: format!("{}.certificate", self.table), file: self.certificate.clone(), fault }
    }

    fn key_error(&self, fault: CertificateFault) -> CertificateError {
        CertificateError { key: format!("{}.key", self.table), file: self.key.clone(), fault }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateFault> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(CertificateFault::Unreadable)?;
    if bytes.len() as u64 > FILE_MAX_BYTES { Err(CertificateFault::TooLarge) } else { Ok(bytes) }
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateFault::NotPem(error.to_string()))
}

fn parse_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    let encrypted = |pem: &[u8]| {
        let text = String::from_utf8_lossy(pem);
        text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
    };
    match PrivateKeyDer::from_pem_slice(pem) {
        // The old form of a passphrase is a header inside an ordinary section.
        Ok(_) | Err(_) if encrypted(pem) => Err(CertificateFault::EncryptedKey),
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err(CertificateFault::NoKey),
        Err(error) => Err(CertificateFault::NotPem(error.to_string())),
    }
}

/// What is read out of the certificate itself.
struct Parsed {
    names: Vec<String>,
    valid: (i64, i64),
    fingerprint: [u8; 32],
    end_point: Option<Vec<u8>>,
}

impl Parsed {
    fn new(der: &CertificateDer<'_>) -> Result<Parsed, CertificateFault> {
        let bad = |reason: String| CertificateFault::BadCertificate(reason);
        let (_, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|error| bad(error.to_string()))?;
        let validity = certificate.validity();
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Ok(Parsed {
            names: names(&certificate),
            valid: (validity.not_before.timestamp(), validity.not_after.timestamp()),
            fingerprint,
            end_point: binding_hash(&certificate.signature_algorithm)
                .map(|hash| digest::digest(hash, der).as_ref().to_vec()),
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        })
        .collect()
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(octets).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// The hash of `tls-server-end-point`, by the algorithm with which the certificate is signed: SHA-256 in place of
/// MD5 and SHA-1, undefined where there is no single hash (RFC 5929 section 4.1).
pub(super) fn binding_hash(algorithm: &AlgorithmIdentifier<'_>) -> Option<&'static digest::Algorithm> {
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(algorithm) {
        let hash = parameters.hash_algorithm_oid().to_id_string();
        // The mask's hash is a second one if it differs.
        let mask = parameters.mask_gen_algorithm().ok()?.hash.to_id_string();
        return if hash == mask { hash_of(&hash) } else { None };
    }
    match algorithm.algorithm.to_id_string().as_str() {
        // MD5 and SHA-1 with RSA, SHA-1 with ECDSA.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" => Some(&digest::SHA224),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        "1.2.840.113549.1.1.16" => Some(&digest::SHA512_256),
        // Ed25519 and Ed448 among them.
        _ => None,
    }
}

/// A hash by its own identifier, as RSASSA-PSS names it.
fn hash_of(identifier: &str) -> Option<&'static digest::Algorithm> {
    match identifier {
        // SHA-1 is what RSASSA-PSS means when it names none.
        "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        "2.16.840.1.101.3.4.2.4" => Some(&digest::SHA224),
        "2.16.840.1.101.3.4.2.6" => Some(&digest::SHA512_256),
        _ => None,
    }
}
