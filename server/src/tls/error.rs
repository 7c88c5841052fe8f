//! What can be wrong with a certificate, and how a handshake fails.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A certificate or key that cannot be used. Its text names the configuration key, the file and the reason.
#[derive(Debug)]
pub struct CertificateError {
    /// The configuration key in full, `tls.certificates[0].key` for instance.
    pub key: String,
    pub file: PathBuf,
    pub fault: CertificateFault,
}

impl std::error::Error for CertificateError {}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.key, self.file.display(), self.fault)
    }
}

/// The reason, as what follows the file's name in a sentence.
#[derive(Debug)]
pub enum CertificateFault {
    /// The file is not there, or may not be read.
    Unreadable(io::Error),
    /// The server's own certificate cannot be put where it belongs.
    Unwritable(io::Error),
    /// Larger than any chain or key.
    TooLarge,
    /// A PEM section is cut off or garbled.
    NotPem(String),
    /// PEM without a certificate, or no PEM.
    NoCertificate,
    /// PEM without a private key, or no PEM.
    NoKey,
    /// The key is protected by a passphrase.
    EncryptedKey,
    /// The certificate's own bytes are wrong.
    BadCertificate(String),
    /// The key is of a kind that TLS does not use, or damaged.
    BadKey(String),
    /// A good key, but of another certificate.
    OtherKey { certificate: PathBuf },
    /// No certificate can be signed for the served domains.
    NotSigned(String),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use CertificateFault::*;
        match self {
            Unreadable(error) => write!(f, "cannot be read: {error}"),
            Unwritable(error) => write!(f, "cannot be written: {error}"),
            TooLarge => write!(f, "is larger than {} bytes", super::certificate::FILE_MAX_BYTES),
            NotPem(reason) => write!(f, "is not PEM: {reason}"),
            NoCertificate => write!(f, "holds no certificate in PEM"),
            NoKey => write!(f, "holds no private key in PEM"),
            EncryptedKey => write!(f, "holds a key with a passphrase; give it without one"),
            BadCertificate(reason) => write!(f, "holds a certificate that cannot be used: {reason}"),
            BadKey(reason) => write!(f, "holds a private key that cannot be used: {reason}"),
            OtherKey { certificate } => {
                write!(f, "holds a key that does not belong to the certificate in {}", certificate.display())
            }
            NotSigned(reason) => write!(f, "cannot be made: {reason}"),
        }
    }
}

/// Why a handshake came to no connection.
#[derive(Debug)]
pub enum AcceptError {
    /// It took longer than it may.
    TimedOut,
    /// The client went away in the middle of it.
    Closed,
    /// The connection failed below TLS.
    Io(io::Error),
    /// What was sent is no TLS, or no TLS that both sides speak; the client was told by an alert.
    Refused(rustls::Error),
}

impl AcceptError {
    /// A word for each kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            AcceptError::TimedOut => "timeout",
            AcceptError::Closed => "closed",
            AcceptError::Io(_) => "io",
            AcceptError::Refused(_) => "refused",
        }
    }
}

impl std::error::Error for AcceptError {}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AcceptError::TimedOut => write!(f, "the TLS handshake took too long"),
            AcceptError::Closed => write!(f, "the client closed the connection during the TLS handshake"),
            AcceptError::Io(error) => write!(f, "the connection broke during the TLS handshake: {error}"),
            AcceptError::Refused(error) => write!(f, "the TLS handshake failed: {error}"),
        }
    }
}

/// rustls's errors come wrapped in those of the connection.
impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return AcceptError::Closed;
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => AcceptError::Refused(error),
            Err(error) => AcceptError::Io(error),
        }
    }
}
