//! `[storage.s3]`.

use std::path::PathBuf;

use super::values::{Secret, Uri};
use super::words::words;

settings! {
    /// A bucket for uploads and for the cold archive, at Amazon S3 or whoever speaks its protocol.
    /// `modules.upload.store = "s3"` puts uploads there, `modules.mam.cold.store = "s3"` old messages; without that, what is
    /// there already is still served.
    pub struct S3 {
        /// Where it is. Absent: Amazon's own of the region.
        restart endpoint: Option<Uri> = None, like "\"https://s3.example.com\"";
        /// Where clients reach it, for `put = "direct"` and `get = "redirect"`. Absent: as `endpoint`.
        restart client_endpoint: Option<Uri> = None, like "\"https://s3.example.com\"";
        /// The bucket. The server does not make it.
        restart bucket: Option<String> = None, like "\"meerkat\"";
        /// The region that requests are signed for.
        restart region: String = "us-east-1".to_owned();
        /// The key that requests are signed with. It needs PutObject, GetObject, DeleteObject and ListBucket.
        restart access_key: Option<String> = None, like "\"AKIA...\"";
        /// Its secret.
        restart secret_key: Option<Secret> = None, like "\"...\"";
        /// Whether the bucket is the first part of the path, https://HOST/BUCKET/KEY, or else of the host,
        /// https://BUCKET.HOST/KEY.
        restart path_style: bool = true;
        /// What the key of each object begins with.
        restart prefix: String = "uploads/".to_owned();
        /// A file of certificate authorities, PEM, trusted beside the system's.
        restart ca: Option<PathBuf> = None, like "\"/etc/meerkat/tls/s3-ca.pem\"";
        /// How clients put: "through" the server (answered 201), or "direct" to S3 at a signed URL (which answers 200).
        restart put: S3Put = S3Put::Through;
        /// How clients read: "through" the server, or by "redirect" to a signed URL of S3 that soon expires, or by
        /// redirect to the "public" URL of a bucket that everybody may read.
        restart get: S3Get = S3Get::Through;
        /// What public URLs begin with, before the object's key. Absent: the bucket's own URL.
        restart public_url: Option<Uri> = None, like "\"https://cdn.example.com\"";
        /// How long S3 may take to answer, and to take or give the next bytes.
        restart wait_seconds: u32 = 10, in 1..=300;
    }
}

words! {
    /// How a file comes into a bucket.
    pub enum S3Put {
        Through = "through",
        Direct = "direct",
    }
}

words! {
    /// How a file in a bucket is read.
    pub enum S3Get {
        Through = "through",
        Redirect = "redirect",
        Public = "public",
    }
}
