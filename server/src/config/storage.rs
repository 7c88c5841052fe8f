//! `[storage]`.

use std::path::PathBuf;

use super::values::Secret;
use super::words::words;
use super::{Kafka, S3};

settings! {
    /// Where everything durable is kept.
    pub struct Storage {
        /// The main store: "sqlite" or "postgres". ("memory" forgets everything when the server stops, for tests.)
        restart main: MainStore = MainStore::Sqlite;
        /// Writes that may wait for their transaction; those beyond are refused with `wait`.
        restart waiting_writes: u32 = 16_384, in 64..=1_000_000;
        /// The same in bytes.
        restart waiting_bytes: u64 = 64 << 20, in 1 << 20..=64 << 30;
        /// Accounts of which existence, block list and the like are remembered.
        restart cached_accounts: u32 = 100_000, in 1..=100_000_000;
        /// The embedded database.
        section sqlite: Sqlite = Sqlite::default();
        /// A PostgreSQL database, which several servers may share.
        section postgres: Postgres = Postgres::default();
        /// A Redis server or cluster: what several servers share besides, and can do without.
        section redis: Redis = Redis::default();
        /// The folder of uploads.
        section disk: Disk = Disk::default();
        /// A bucket for uploads, at Amazon S3 or whoever speaks its protocol.
        section s3: S3 = S3::default();
        /// The event stream: topics of an Apache Kafka, of which others learn what happens here.
        section kafka: Kafka = Kafka::default();
    }
}

words! {
    /// A store that can keep everything durable.
    pub enum MainStore {
        Sqlite = "sqlite",
        Postgres = "postgres",
        Memory = "memory",
    }
}

settings! {
    /// The embedded database.
    pub struct Sqlite {
        /// The file. Absent: meerkat.db in the data folder.
        restart path: Option<PathBuf> = None, like "\"/var/lib/meerkat/meerkat.db\"";
        /// Connections that read at the same time, beside the one that writes.
        restart readers: u32 = 4, in 1..=256;
    }
}

settings! {
    /// A PostgreSQL database, which several servers may share.
    pub struct Postgres {
        /// Where it is, as "postgres://USER:PASSWORD@HOST:PORT/DATABASE"; of several hosts, as "HOST:PORT,HOST:PORT",
        /// the one counts that can be written. `?sslmode=verify-full` insists on TLS and a certificate of that
        /// host; `&sslrootcert=FILE` trusts a certificate authority beside the system's. It is shown without the
        /// password.
        restart url: Option<Secret> = None, like "\"postgres://meerkat:meerkat@127.0.0.1:5432/meerkat\"";
        /// Connections at one time, beside the one that saves messages.
        restart connections: u32 = 10, in 2..=1_000;
        /// How long a read or a write waits for a connection of these before it is refused.
        restart acquire_seconds: u32 = 5, in 1..=300;
        /// How long connecting may take.
        restart connect_seconds: u32 = 5, in 1..=300;
        /// How long one statement may take.
        restart statement_seconds: u32 = 10, in 1..=3600;
    }
}

settings! {
    /// A Redis server or cluster: what several servers share besides, and can do without. While it is away or slow the
    /// database is asked instead. With PostgreSQL it keeps what messages ask of accounts; with every store it
    /// counts failed logins for all servers together.
    pub struct Redis {
        /// Where it is, as "redis://USER:PASSWORD@HOST:PORT/DATABASE"; "rediss://" for TLS. Several servers of one
        /// cluster are separated by commas: "redis://ONE:6379,TWO:6379". Absent: none. It is shown without the
        /// password.
        restart url: Option<Secret> = None, like "\"redis://127.0.0.1:6379\"";
        /// The password, where it is not in the URL.
        restart password: Option<Secret> = None, like "\"secret\"";
        /// A file with the certificate authority to trust. Absent: the system's.
        restart authority: Option<PathBuf> = None, like "\"/etc/meerkat/redis-ca.pem\"";
        /// Whether it is a Redis Cluster.
        restart cluster: bool = false;
        /// How long one answer may take. After that the database is asked.
        restart timeout_ms: u32 = 5, in 1..=1_000;
        /// How long an account is kept.
        restart account_seconds: u32 = 60, in 1..=3_600;
        /// The largest account that is kept there, with its contacts; larger ones are read from the database.
        restart account_bytes: u32 = 64 << 10, in 1_024..=16 << 20;
    }
}

settings! {
    /// The folder of uploads.
    pub struct Disk {
        /// The folder. Absent: uploads in the data folder.
        restart path: Option<PathBuf> = None, like "\"/var/lib/meerkat/uploads\"";
    }
}
