//! The certificate that the server signs itself when none is configured, so that it can be tried at once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::CryptoProvider;

use super::certificate::{Certificate, PairFiles};
use super::choice::ascii;
use super::error::{CertificateError, CertificateFault};

const DAY_SECONDS: u64 = 86_400;
const VALID_DAYS: u64 = 365;
/// A certificate that ends within this time is signed anew.
const RENEW_DAYS: u64 = 30;
/// For clients whose clock is behind.
const BACKDATED_DAYS: u64 = 1;

/// Where the pair is.
pub fn files(data_dir: &Path) -> PairFiles {
    let folder = data_dir.join("tls");
    PairFiles {
        certificate: folder.join("self-signed.crt"),
        key: folder.join("self-signed.key"),
        table: "general.data_dir".to_owned(),
    }
}

/// Whether the certificate is for exactly these hosts and lasts for a while. `now` in seconds since 1970.
pub fn serves(certificate: &Certificate, hosts: &[String], now: u64) -> bool {
    let mut names = certificate.names.clone();
    let mut wanted = names_of(hosts);
    names.sort();
    wanted.sort();
    names == wanted && certificate.valid.1 > (now + RENEW_DAYS * DAY_SECONDS) as i64
}

/// Makes a pair, unless the one that is there will do. Whether one was made.
pub fn ensure(
    data_dir: &Path,
    hosts: &[String],
    provider: &CryptoProvider,
    now: u64,
) -> Result<bool, CertificateError> {
    let files = files(data_dir);
    if files.load(provider).is_ok_and(|certificate| serves(&certificate, hosts, now)) {
        return Ok(false);
    }
    let error = |file: &Path, fault| CertificateError {
        key: "general.data_dir".to_owned(),
        file: file.to_owned(),
        fault,
    };
    let (certificate, key) = sign(hosts, now)
        .map_err(|reason| error(&files.certificate, CertificateFault::NotSigned(reason.to_string())))?;
    let unwritable = |file: &Path, fault| error(file, CertificateFault::Unwritable(fault));
    if let Some(folder) = files.key.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|fault| unwritable(folder, fault))?;
    }
    // A crash between the two leaves a pair that does not fit, and the next start makes another.
    put(&files.key, key.as_bytes(), 0o600).map_err(|fault| unwritable(&files.key, fault))?;
    put(&files.certificate, certificate.as_bytes(), 0o644)
        .map_err(|fault| unwritable(&files.certificate, fault))?;
    Ok(true)
}

/// Certificate and key in PEM.
fn sign(hosts: &[String], now: u64) -> Result<(String, String), rcgen::Error> {
    let mut parameters = CertificateParams::new(names_of(hosts))?;
    let day = |day: i64| {
        let seconds = now.saturating_add_signed(day * DAY_SECONDS as i64);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    parameters.not_before = day(-(BACKDATED_DAYS as i64));
    parameters.not_after = day(VALID_DAYS as i64);
    parameters.distinguished_name.push(DnType::CommonName, "Meerkat, self-signed");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.use_authority_key_identifier_extension = true;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn names_of(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| ascii(host).into_owned()).collect()
}

/// Puts a file in its place whole: never half of it, and never readable for others while it is written.
fn put(file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = PathBuf::from(format!("{}.new", file.display()));
    // A server that was stopped here may have left one.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    written.write_all(bytes)?;
    written.sync_all()?;
    fs::rename(&beside, file)?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
