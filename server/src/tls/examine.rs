//! Certificates examined for the operator: do files, key, names, chain and dates do for what is served?

use std::path::Path;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::ParsedCertificate;

use super::certificate::{Certificate, PairFiles};
use super::choice::ascii;
use super::self_signed;
use crate::config::{self, Domain};
use crate::storage::Finding;

const DAY_SECONDS: i64 = 86_400;
/// Who renews certificates by a program does it well before.
const SOON_DAYS: i64 = 14;

/// `now` since 1970.
pub fn examine(settings: &config::Tls, hosts: &[Domain], data_dir: &Path, now: Duration) -> Vec<Finding> {
    let provider = aws_lc_rs::default_provider();
    let configured: Vec<PairFiles> = settings
        .certificates
        .iter()
        .enumerate()
        .map(|(index, pair)| PairFiles {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            table: format!("tls.certificates[{index}]"),
        })
        .collect();
    if configured.is_empty() {
        return vec![own(data_dir, now, &provider)];
    }
    let mut findings = Vec::new();
    let mut certificates = Vec::new();
    for pair in &configured {
        match pair.load(&provider) {
            Ok(certificate) => {
                findings.push(dates(&certificate, now));
                certificates.push(certificate);
            }
            Err(error) => findings.push(Finding::failed(
                "certificate",
                error.to_string(),
                "a server does not start with it, and one that runs goes on with what it had: correct the files",
            )),
        }
    }
    let roots = roots();
    for host in hosts {
        findings.push(names(host, &certificates));
        findings.extend(chain(host, &certificates, &roots, now, &provider));
    }
    findings
}

/// None is configured: the server signs one itself.
fn own(data_dir: &Path, now: Duration, provider: &CryptoProvider) -> Finding {
    let files = self_signed::files(data_dir);
    let advice = "clients refuse it, or ask their users: get one from an authority, and name it under [[tls.certificates]]";
    let seen = if files.certificate.exists() {
        match files.load(provider) {
            Ok(certificate) => format!(
                "{} is signed by the server itself, for {}, and has {} days left",
                files.certificate.display(),
                certificate.names.join(", "),
                days_left(&certificate, now)
            ),
            Err(error) => format!("{error}: the next start makes another"),
        }
    } else {
        "none is configured: the first start makes one that is signed by the server itself".to_owned()
    };
    Finding::warning("certificate", seen, advice)
}

fn days_left(certificate: &Certificate, now: Duration) -> i64 {
    (certificate.valid.1 - now.as_secs() as i64).div_euclid(DAY_SECONDS)
}

fn dates(certificate: &Certificate, now: Duration) -> Finding {
    let (file, names) = (certificate.file.display(), certificate.names.join(", "));
    let advice = "renew it; the server takes up changed files by itself";
    let seconds = now.as_secs() as i64;
    if certificate.valid.0 > seconds {
        let days = (certificate.valid.0 - seconds).div_euclid(DAY_SECONDS) + 1;
        let advice = "look at this machine's clock, or wait";
        return Finding::failed(
            "certificate",
            format!("{file} ({names}) is not valid before {days} days from now"),
            advice,
        );
    }
    match days_left(certificate, now) {
        gone if gone < 0 => {
            Finding::failed("certificate", format!("{file} ({names}) has expired {} days ago", -gone), advice)
        }
        few if few < SOON_DAYS => {
            Finding::warning("certificate", format!("{file} ({names}) expires in {few} days"), advice)
        }
        days => Finding::ok("certificate", format!("{file} ({names}): its key fits, {days} days left")),
    }
}

/// Is one of them for this host (RFC 6120 section 13.7.1)?
fn names(host: &Domain, certificates: &[Certificate]) -> Finding {
    let check = format!("certificate {host}");
    let mut fitting = certificates.iter().filter(|certificate| is_for(certificate, host));
    match fitting.next() {
        Some(certificate) => Finding::ok(check, format!("{} is for it", certificate.file.display())),
        None => Finding::failed(
            check,
            "no certificate has its name: clients that look at it refuse the connection",
            format!("get a certificate for {host}, and name it under [[tls.certificates]]"),
        ),
    }
}

fn is_for(certificate: &Certificate, host: &Domain) -> bool {
    let Ok(name) = ServerName::try_from(ascii(host.as_str()).into_owned()) else { return false };
    let Some(parsed) =
        certificate.certified.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok())
    else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// Does it lead to an authority that this machine trusts, as most clients' machines will?
fn chain(
    host: &Domain,
    certificates: &[Certificate],
    roots: &RootCertStore,
    now: Duration,
    provider: &CryptoProvider,
) -> Option<Finding> {
    let certificate = certificates.iter().find(|certificate| is_for(certificate, host))?;
    let (leaf, intermediates) = certificate.certified.cert.split_first()?;
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let now = UnixTime::since_unix_epoch(now);
    let algorithms = provider.signature_verification_algorithms.all;
    let verified = verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms);
    let error = match verified {
        Ok(()) => return None,
        // That it has expired is said already.
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Expired)) => return None,
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext { .. })) => {
            return None;
        }
        Err(error) => error,
    };
    Some(Finding::warning(
        format!("certificate {host}"),
        format!(
            "{} and the {} certificates behind it lead to no authority that this machine trusts ({error})",
            certificate.file.display(),
            intermediates.len()
        ),
        "put the authority's intermediate certificates behind it in the same file; for an authority of your own, its clients must know it",
    ))
}

/// What this machine trusts.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
