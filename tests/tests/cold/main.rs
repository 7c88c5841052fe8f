//! The cold archive: old messages in files of a real S3 server, over SQLite and over a real PostgreSQL.

mod faults;
mod moving;
mod owned;
mod paging;
mod stage;
