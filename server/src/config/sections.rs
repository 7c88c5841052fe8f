//! The sections of the configuration, except those with a file of their own.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::words::words;
use super::{Domain, Limit, Limits, Listen, LogFilter, Modules, OutboxSettings, Storage, Tables};

settings! {
    /// Everything that can be configured.
    pub struct Config {
        /// What concerns the whole server.
        section general: General = General::default();
        /// Certificates, and how TLS is spoken.
        section tls: Tls = Tls::default();
        /// Where the server listens.
        section listen: Listen = Listen::default();
        /// How clients prove who they are.
        section auth: Auth = Auth::default();
        /// Bounds: nothing grows without one.
        section limits: Limits = Limits::default();
        /// What clients' streams and sessions do.
        section c2s: C2s = C2s::default();
        /// What becomes of messages.
        section messages: Messages = Messages::default();
        /// Where everything durable is kept.
        section storage: Storage = Storage::default();
        /// What waits in the store until the event stream has it.
        section outbox: OutboxSettings = OutboxSettings::default();
        /// What goes beyond RFC 6120 and 6121, one section per module.
        section modules: Modules = Modules::default();
        /// Settings of one served domain that differ from the general ones.
        section domain: Tables<DomainSettings> = Tables::default();
    }
}

impl Config {
    /// Writes down where the data is, once that is known, and what follows from it.
    pub fn settle(&mut self, data_dir: PathBuf) {
        self.storage.sqlite.path.get_or_insert_with(|| data_dir.join("meerkat.db"));
        self.storage.disk.path.get_or_insert_with(|| data_dir.join("uploads"));
        self.modules.mam.cold.path.get_or_insert_with(|| data_dir.join("cold"));
        self.general.data_dir = Some(data_dir);
    }

    /// The settings of a served domain, or the defaults when it has none of its own.
    pub fn domain(&self, name: &str) -> DomainSettings {
        self.domain.iter().find(|domain| domain.name.as_str() == name).cloned().unwrap_or_default()
    }

    /// Whether messages to accounts of this domain are saved before they are delivered.
    pub fn save(&self, domain: &str) -> Save {
        self.domain(domain).messages.save.unwrap_or(self.messages.save)
    }

    /// How many days a message stays in the archives of this domain's accounts.
    pub fn retention_days(&self, domain: &str) -> Limit {
        self.domain(domain).modules.mam.retention_days.unwrap_or(self.modules.mam.retention_days)
    }

    /// The mechanisms that this domain offers, best first.
    pub fn mechanisms(&self, domain: &str) -> Vec<Mechanism> {
        self.domain(domain).auth.mechanisms.unwrap_or_else(|| self.auth.mechanisms.clone())
    }
}

settings! {
    /// What concerns the whole server.
    pub struct General {
        /// The served domains; the first is the default.
        restart hosts: Vec<Domain> = vec![Domain::localhost()];
        /// The folder of the database, the first certificate and the control socket. Absent: /var/lib/meerkat
        /// where it can be written, else ./meerkat-data. `--data` and MEERKAT_DATA go before it.
        restart data_dir: Option<PathBuf> = None, like "\"/var/lib/meerkat\"";
        /// "production", or "development", where passwords that everybody knows are taken for services of other
        /// machines too. (Those of this machine may have them anyway.)
        restart environment: Environment = Environment::Production;
        /// The name servers that `meerkatctl doctor` asks, as "192.0.2.53:53". Empty: those of this machine.
        now name_servers: Vec<SocketAddr> = vec![];
        /// The least important log lines that are written: "none", "error", "warn", "info", "debug" or
        /// "trace".
        now log_level: LogLevel = LogLevel::Info;
        /// Levels for single parts that differ from `log_level`, as "server::c2s=debug". Libraries write
        /// warnings and errors only, unless they are named here.
        now log_filters: Vec<LogFilter> = vec![];
        /// "text" for people, "json" for machines: one object a line.
        restart log_format: LogFormat = LogFormat::Text;
        /// How long a stopping server may take to end its streams and write out what is due.
        now drain_seconds: u32 = 20, in 1..=3600;
    }
}

words! {
    /// What the server is there for.
    pub enum Environment {
        Production = "production",
        Development = "development",
    }
}

words! {
    /// How important a log line must be to be written.
    pub enum LogLevel {
        None = "none",
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

words! {
    /// How log lines are written.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

settings! {
    /// Certificates, and how TLS is spoken.
    pub struct Tls {
        /// The oldest version of TLS that is accepted: "1.2" or "1.3".
        restart min_version: TlsVersion = TlsVersion::Tls12;
        /// Whether clients may resume TLS sessions by tickets, which makes reconnecting cheaper.
        restart session_tickets: bool = true;
        /// How often certificate files are looked at for a change.
        now watch_seconds: u32 = 10, in 1..=86_400;
        /// Certificates, chosen by SNI and by the stream's `to`; of several for one host (RSA and ECDSA,
        /// say) a client gets the first that it can use. Without one the server signs one itself on its
        /// first start. A changed file is taken up without a restart, a pair that does not fit is refused.
        now certificates: Tables<Certificate> = Tables::default();
    }
}

settings! {
    /// A certificate with its key.
    pub struct Certificate {
        /// The file of the certificate and its chain, PEM.
        required certificate: PathBuf = PathBuf::new(), like "\"/etc/meerkat/tls/tls.crt\"";
        /// The file of its private key, PEM.
        required key: PathBuf = PathBuf::new(), like "\"/etc/meerkat/tls/tls.key\"";
        /// The served domains that use it. Absent: those whose names the certificate has.
        now hosts: Option<Vec<Domain>> = None, like "[\"localhost\"]";
    }
}

words! {
    /// A version of TLS.
    pub enum TlsVersion {
        Tls12 = "1.2",
        Tls13 = "1.3",
    }
}

settings! {
    /// How clients prove who they are.
    pub struct Auth {
        /// The SASL mechanisms that are offered, best first. "-PLUS" is offered on TLS 1.3, "PLAIN" under
        /// TLS. Of a password that is set, what those need is kept that are offered then.
        new mechanisms: Vec<Mechanism> = Mechanism::ALL.to_vec();
        /// Whether "PLAIN" is offered without TLS too, on a listener with `tls = "none"`. For tests only.
        new plain_without_tls: bool = false;
        /// Rounds of PBKDF2 for passwords that are set from now on.
        now scram_iterations: u32 = 10_000, in 4_096..=10_000_000;
        /// Failed attempts after which a stream is closed.
        new attempts_per_stream: u32 = 5, in 1..=100;
        /// Failed logins from one address within the window, after which further attempts from it are
        /// refused; or "none". For other accounts one account counts with at most a tenth of the bound, so
        /// that it alone never keeps them out.
        now failed_logins_per_address: Limit = Limit::AtMost(100), in 1..=1_000_000;
        /// The window of `failed_logins_per_address`.
        now failed_logins_per_address_seconds: u32 = 300, in 1..=86_400;
        /// Failed logins to one account within the window, after which addresses that failed are refused; or
        /// "none".
        now failed_logins_per_account: Limit = Limit::AtMost(20), in 1..=1_000_000;
        /// The window of `failed_logins_per_account`.
        now failed_logins_per_account_seconds: u32 = 300, in 1..=86_400;
        /// Threads that hash passwords.
        restart hashing_threads: u32 = 2, in 1..=256;
        /// Passwords that may wait to be hashed; a login beyond that is told to try later.
        restart hashing_queue: u32 = 1024, in 1..=1_000_000;
    }
}

words! {
    /// A SASL mechanism.
    pub enum Mechanism {
        ScramSha512Plus = "SCRAM-SHA-512-PLUS",
        ScramSha256Plus = "SCRAM-SHA-256-PLUS",
        ScramSha1Plus = "SCRAM-SHA-1-PLUS",
        ScramSha512 = "SCRAM-SHA-512",
        ScramSha256 = "SCRAM-SHA-256",
        ScramSha1 = "SCRAM-SHA-1",
        Plain = "PLAIN",
    }
}

settings! {
    /// What clients' streams and sessions do.
    pub struct C2s {
        /// The longest time a session waits to be resumed after its connection broke; 0 switches resumption
        /// off.
        new resume_seconds: u32 = 600, in 0..=86_400;
        /// Silence after which the server asks whether a client is there; or "none".
        new ping_after_seconds: Limit = Limit::AtMost(180), in 1..=86_400;
        /// How long the client may take to answer that.
        new ping_timeout_seconds: u32 = 30, in 1..=3_600;
        /// How long a client may take none of what is written to it before its connection counts as broken.
        new write_timeout_seconds: u32 = 60, in 1..=3_600;
        /// What a new session does that wants the resource of another: "replace" it, be "refuse"d, or be
        /// "rename"d.
        new conflict: Conflict = Conflict::Replace;
        /// Whether bytes that cannot begin a stream are answered with RFC 3920's name for the error,
        /// `xml-not-well-formed`, as health checks expect, instead of RFC 6120's `not-well-formed`.
        new rfc3920_error_names: bool = true;
    }
}

words! {
    /// What happens when two sessions want one full address (RFC 6120 section 7.7.2.2).
    pub enum Conflict {
        /// The old session ends.
        Replace = "replace",
        /// The new one is refused.
        Refuse = "refuse",
        /// The new one is given another resource.
        Rename = "rename",
    }
}

settings! {
    /// What becomes of messages.
    pub struct Messages {
        /// "always": a message is on disk before it is delivered or acknowledged. "unless-delivered": it goes
        /// straight to a session that is there, and is saved when nobody took it.
        now save: Save = Save::Always;
    }
}

words! {
    /// When a message is saved.
    pub enum Save {
        Always = "always",
        UnlessDelivered = "unless-delivered",
    }
}

settings! {
    /// Settings of one served domain that differ from the general ones.
    pub struct DomainSettings {
        /// The domain, one of `general.hosts`.
        required name: Domain = Domain::localhost(), like "\"localhost\"";
        /// Whether an IQ to somebody's full address is passed on only with a subscription (RFC 6121 section
        /// 8.5.3.1).
        now strict_iq: bool = false;
        /// What becomes of this domain's messages.
        section messages: DomainMessages = DomainMessages::default();
        /// How this domain's clients prove who they are.
        section auth: DomainAuth = DomainAuth::default();
        /// What goes beyond RFC 6120 and 6121 on this domain.
        section modules: DomainModules = DomainModules::default();
    }
}

settings! {
    /// What goes beyond RFC 6120 and 6121 on one domain.
    pub struct DomainModules {
        /// Message archives (XEP-0313).
        section mam: DomainMam = DomainMam::default();
    }
}

settings! {
    /// The archives of one domain's accounts.
    pub struct DomainMam {
        /// As `modules.mam.retention_days`.
        now retention_days: Option<Limit> = None, like "365";
    }
}

settings! {
    /// What becomes of one domain's messages.
    pub struct DomainMessages {
        /// As `messages.save`.
        now save: Option<Save> = None, like "\"unless-delivered\"";
    }
}

settings! {
    /// How one domain's clients prove who they are.
    pub struct DomainAuth {
        /// As `auth.mechanisms`.
        new mechanisms: Option<Vec<Mechanism>> = None, like "[\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\"]";
    }
}
