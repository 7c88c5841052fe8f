//! `[modules]`: one section per module that has something to set.

use super::words::words;
use super::{ColdArchive, Limit, Uri};

settings! {
    /// What goes beyond RFC 6120 and 6121, one section per module.
    pub struct Modules {
        /// In-band registration (XEP-0077).
        section register: Register = Register::default();
        /// Addresses of the people who run the server (XEP-0157), as URIs: "mailto:abuse@example.com".
        section contact: Contact = Contact::default();
        /// Messages for those who are away (XEP-0160).
        section offline: Offline = Offline::default();
        /// Message archives (XEP-0313).
        section mam: Mam = Mam::default();
        /// Files uploaded over HTTP (XEP-0363).
        section upload: Upload = Upload::default();
        /// Copies to one's own other sessions (XEP-0280).
        section carbons: Carbons = Carbons::default();
        /// Clients that say they are not looked at (XEP-0352).
        section csi: Csi = Csi::default();
        /// Block lists (XEP-0191).
        section blocking: Blocking = Blocking::default();
        /// Business cards (XEP-0054).
        section vcard: Vcard = Vcard::default();
        /// Private XML storage (XEP-0049).
        section private: PrivateXml = PrivateXml::default();
        /// Pings from clients (XEP-0199).
        section ping: Ping = Ping::default();
        /// The server's version (XEP-0092).
        section version: Version = Version::default();
        /// The server's time (XEP-0202).
        section time: Time = Time::default();
        /// Last activity (XEP-0012).
        section last_activity: LastActivity = LastActivity::default();
        /// Entity capabilities (XEP-0115).
        section caps: Caps = Caps::default();
    }
}

settings! {
    /// In-band registration (XEP-0077).
    pub struct Register {
        /// Whether clients may make accounts. Changing a password and removing one's own account need it too.
        restart enabled: bool = false;
        /// Accounts made from one address within the window; or "none".
        now registrations_per_address: Limit = Limit::AtMost(5), in 1..=1_000_000;
        /// The window of `registrations_per_address`.
        now registrations_per_address_seconds: u32 = 3_600, in 1..=604_800;
        /// A message from the server that waits in each account made so. Empty: none.
        now welcome_message: String = String::new();
    }
}

settings! {
    /// Addresses of the people who run the server (XEP-0157), as URIs.
    pub struct Contact {
        /// For complaints about abuse.
        now abuse: Vec<Uri> = vec![];
        /// For the server's administrators.
        now admin: Vec<Uri> = vec![];
        /// For opinions.
        now feedback: Vec<Uri> = vec![];
        /// For business.
        now sales: Vec<Uri> = vec![];
        /// For security matters.
        now security: Vec<Uri> = vec![];
        /// Where the server's state is shown.
        now status: Vec<Uri> = vec![];
        /// For help.
        now support: Vec<Uri> = vec![];
    }
}

settings! {
    /// Messages for those who are away (XEP-0160).
    pub struct Offline {
        /// Whether a message waits for an account that is away; else its sender gets `service-unavailable`.
        restart enabled: bool = true;
    }
}

settings! {
    /// Message archives (XEP-0313).
    pub struct Mam {
        /// Whether accounts have archives. An account with one has every message saved before it is delivered.
        restart enabled: bool = true;
        /// What is archived for an account that has said nothing: "always", "roster" (messages from and to
        /// its contacts) or "never".
        now default: Archiving = Archiving::Always;
        /// Messages in a page whose size the client does not say.
        now default_page: u32 = 50, in 1..=1_000;
        /// Messages in the largest page. A page ends sooner when it has a mebibyte.
        now max_page: u32 = 250, in 1..=1_000;
        /// Addresses that an account's preferences may name.
        now preference_addresses: u32 = 1_000, in 0..=100_000;
        /// Days that a message stays in an archive; or "none", for ever. What is older goes once a day; what
        /// still waits for its account waits on. In PostgreSQL it goes by whole months where no domain keeps it longer
        /// and that is 120 days or more.
        now retention_days: Limit = Limit::None, in 1..=36_500;
        /// Whether archives can be searched by words (XEP-0431). The bodies are kept a second time for that.
        /// What is there already when this is switched on is taken in little by little. Servers of one PostgreSQL
        /// database have to agree about it.
        restart full_text: bool = false;
        /// Old messages in files.
        section cold: ColdArchive = ColdArchive::default();
    }
}

words! {
    /// What is archived for those whom an account's preferences do not name (XEP-0441 section 2.1).
    pub enum Archiving {
        Always = "always",
        Roster = "roster",
        Never = "never",
    }
}

settings! {
    /// Files uploaded over HTTP (XEP-0363).
    pub struct Upload {
        /// Whether accounts may upload files. It needs a port in `listen.http`, or `base_url`.
        restart enabled: bool = true;
        /// Where files are kept: on "disk" (`storage.disk`) or in "s3" (`storage.s3`). Those that were kept elsewhere are
        /// served from there.
        restart store: UploadStore = UploadStore::Disk;
        /// Where clients reach the HTTP port, when that is not at the domain's own name and the port's number, behind
        /// a proxy for instance. Absent: https://DOMAIN:PORT of the first port with TLS, else of the first.
        now base_url: Option<Uri> = None, like "\"https://files.example.com\"";
        /// The largest file.
        now max_file_bytes: u64 = 100 << 20, in 1..=1 << 40;
        /// Slots that an account may ask for within 24 hours.
        now files_per_day: u64 = 1_000, in 1..=1_000_000;
        /// What they may come to in bytes.
        now bytes_per_day: u64 = 1 << 30, in 1..=1 << 50;
        /// How long a slot may wait for its upload to begin.
        now slot_seconds: u32 = 300, in 10..=86_400;
        /// Days after which a file goes that is uploaded from now on; or "none".
        now expire_after_days: Limit = Limit::AtMost(30), in 1..=36_500;
    }
}

words! {
    /// Where uploads are kept.
    pub enum UploadStore {
        Disk = "disk",
        S3 = "s3",
    }
}

settings! {
    /// Copies to one's own other sessions (XEP-0280).
    pub struct Carbons {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Clients that say they are not looked at (XEP-0352).
    pub struct Csi {
        /// Whether the module is there.
        restart enabled: bool = true;
        /// Stanzas that are held for an inactive client; then all are written.
        new held_stanzas: u32 = 100, in 1..=4_096;
        /// The same in bytes.
        new held_bytes: u32 = 64 << 10, in 1_024..=1 << 20;
    }
}

settings! {
    /// Block lists (XEP-0191).
    pub struct Blocking {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Business cards (XEP-0054).
    pub struct Vcard {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Private XML storage (XEP-0049).
    pub struct PrivateXml {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Pings from clients (XEP-0199).
    pub struct Ping {
        /// Whether they are answered. The server's own pings are `c2s.ping_after_seconds`.
        restart enabled: bool = true;
    }
}

settings! {
    /// The server's version (XEP-0092).
    pub struct Version {
        /// Whether the module is there.
        restart enabled: bool = true;
        /// Whether the operating system is told too.
        now os_info: bool = false;
    }
}

settings! {
    /// The server's time (XEP-0202).
    pub struct Time {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Last activity (XEP-0012).
    pub struct LastActivity {
        /// Whether the module is there.
        restart enabled: bool = true;
    }
}

settings! {
    /// Entity capabilities (XEP-0115).
    pub struct Caps {
        /// Verified capabilities that are remembered.
        restart cached_hashes: u32 = 10_000, in 1..=10_000_000;
        /// Clients that are asked for their capabilities at the same time.
        now pending_queries: u32 = 1_000, in 1..=1_000_000;
    }
}
