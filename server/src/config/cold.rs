//! `[modules.mam.cold]`.

use std::path::PathBuf;

use super::Limit;
use super::words::words;

settings! {
    /// Old messages of archives, moved out of the store into compressed files, in which they are still found. Servers of
    /// one PostgreSQL database have to agree about it.
    pub struct ColdArchive {
        /// Where the files are: on a "disk" (`path`) or in "s3" (the bucket of `storage.s3`). Absent: nothing is moved;
        /// what is in files already is still found. Several servers of one database need "s3".
        restart store: Option<ColdStore> = None, like "\"s3\"";
        /// Days after which a message is moved; or "none": only `meerkatctl mam cold move` does. In PostgreSQL whole
        /// months are moved.
        now after_days: Limit = Limit::None, in 1..=36_500;
        /// The folder of files on a disk. Absent: the folder cold in the data folder.
        restart path: Option<PathBuf> = None, like "\"/srv/meerkat/cold\"";
        /// What the key of each file in S3 begins with, instead of `storage.s3.prefix`.
        restart prefix: String = "cold/".to_owned();
    }
}

words! {
    /// Where cold files are.
    pub enum ColdStore {
        Disk = "disk",
        S3 = "s3",
    }
}
