//! Pings (XEP-0199): clients ask whether the server is there. The server's own pings to clients that
//! are silent are `c2s`'s.

use std::sync::Arc;

use xmpp_core::{StanzaError, ns};

use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};

pub struct Ping;

impl Module for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::PING, Scope::Both);
        host.answer_iq(ns::PING, Scope::Both, self);
    }
}

impl AnswerIq for Ping {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, _: &'a Arc<Router>) -> Answer<'a, IqResult> {
        Answer::Now(iq.is_get().and_then(|()| match &iq.target {
            Target::Server(_) | Target::Own(_) | Target::Other { subscribed: true, .. } => Ok(None),
            // Behaviour 136: an account shows itself only to those who see its presence.
            Target::Other { .. } | Target::Nobody(_) | Target::Service(_) => {
                Err(StanzaError::service_unavailable())
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::storage::Subscription;
    use crate::testing::Stage;

    const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

    /// Section 4.2; behaviours 136 and 140.
    #[tokio::test(start_paused = true)]
    async fn who_may_know_gets_an_answer() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        stage.account("romeo@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        for to in [None, Some("example.com"), Some("juliet@example.com")] {
            assert_eq!(juliet.ask("get", to, PING).await, "");
        }
        for to in ["romeo@example.com", "nobody@example.com"] {
            assert_eq!(juliet.ask("get", Some(to), PING).await, "cancel service-unavailable");
        }
        stage.put_item("romeo@example.com", "juliet@example.com", Subscription::From).await;
        assert_eq!(juliet.ask("get", Some("romeo@example.com"), PING).await, "");
        assert_eq!(juliet.ask("set", Some("example.com"), PING).await, "cancel not-allowed");
    }
}
