//! Whether the keys of `storage.s3` go together, and with those of uploads.

use super::{Check, is_base};
use crate::config::error::Fault;
use crate::config::{ColdStore, Config, HttpTls, S3Get, S3Put, Secret, UploadStore};

/// Amazon's largest object that one request puts or copies.
const S3_OBJECT_BYTES: u64 = 5 << 30;

impl Check<'_> {
    pub(super) fn s3(&mut self, config: &Config) {
        let (s3, upload, cold) = (&config.storage.s3, &config.modules.upload, &config.modules.mam.cold);
        let has_uploads = upload.store == UploadStore::S3;
        let is_used = has_uploads || cold.store == Some(ColdStore::S3);
        if !is_used && s3.bucket.is_none() {
            return;
        }
        if !cfg!(feature = "s3") {
            let key = match (has_uploads, is_used) {
                (true, _) => "modules.upload.store",
                (false, true) => "modules.mam.cold.store",
                (false, false) => "storage.s3",
            };
            self.fault(key.into(), Fault::NotCompiled { feature: "s3" });
        }
        let by = match (has_uploads, is_used) {
            (true, _) => "modules.upload.store = \"s3\"",
            (false, true) => "modules.mam.cold.store = \"s3\"",
            (false, false) => "storage.s3.bucket",
        };
        let keys = [
            ("storage.s3.bucket", s3.bucket.as_deref()),
            ("storage.s3.access_key", s3.access_key.as_deref()),
            ("storage.s3.secret_key", s3.secret_key.as_ref().map(Secret::reveal)),
        ];
        for (key, value) in keys {
            if value.is_none_or(str::is_empty) {
                self.fault(key.into(), Fault::Needed { by });
            }
        }
        if has_uploads && upload.max_file_bytes > S3_OBJECT_BYTES {
            let fault = Fault::MoreThan { other: "what S3 takes at once", value: S3_OBJECT_BYTES };
            self.fault("modules.upload.max_file_bytes".into(), fault);
        }
        self.s3_urls(config);
    }

    fn s3_urls(&mut self, config: &Config) {
        let s3 = &config.storage.s3;
        for (key, url) in [
            ("storage.s3.endpoint", &s3.endpoint),
            ("storage.s3.client_endpoint", &s3.client_endpoint),
            ("storage.s3.public_url", &s3.public_url),
        ] {
            if let Some(url) = url
                && !is_base(url.as_str())
            {
                let wanted = "an http or https URL, as \"https://s3.example.com\"";
                self.fault(key.into(), Fault::Malformed { wanted });
            }
        }
        // XEP-0363 section 4: clients are sent nowhere without TLS, where there is TLS.
        let tls = config.listen.http.iter().any(|listener| listener.tls == HttpTls::Direct);
        let sent = s3.put == S3Put::Direct || s3.get == S3Get::Redirect;
        let (key, url) = match &s3.client_endpoint {
            Some(url) => ("storage.s3.client_endpoint", Some(url)),
            None => ("storage.s3.endpoint", s3.endpoint.as_ref()),
        };
        if tls && sent && url.is_some_and(|url| url.as_str().starts_with("http://")) {
            let wanted = "an https URL, since clients are sent there, and a port in listen.http has TLS";
            self.fault(key.into(), Fault::Malformed { wanted });
        }
    }
}
