//! Meerkat, an XMPP server.

pub mod accounts;
pub mod c2s;
pub mod clock;
pub mod config;
pub mod host;
pub mod modules;
pub mod plugins;
pub mod router;
pub mod session;
pub mod storage;
pub mod telemetry {
    pub mod metrics {
        #[derive(Default)]
        pub struct Metrics;
        impl Metrics {
            pub fn stanza_in(&self, _k: xmpp_core::Kind) {}
            pub fn stanza_out(&self, _k: xmpp_core::Kind) {}
            pub fn bytes_in(&self, _k: usize) {}
            pub fn bytes_out(&self, _k: usize) {}
            pub fn slowed_down(&self) {}
            pub fn stream_error(&self, _e: &xmpp_core::StreamError) {}
        }
    }
}
