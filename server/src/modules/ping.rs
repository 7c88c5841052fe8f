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
            Target::Other { .. } | Target::Nobody(_) => Err(StanzaError::service_unavailable()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::storage::Subscription;
    use crate::testing::World;

    const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

    /// Section 4.2; behaviours 136 and 140.
    #[tokio::test(start_paused = true)]
    async fn who_may_know_gets_an_answer() {
        let world = World::new();
        world.account("juliet@localhost").await;
        world.account("romeo@localhost").await;
        let mut juliet = world.connect("juliet@localhost/balcony").await;
        for to in [None, Some("localhost"), Some("juliet@localhost")] {
            assert_eq!(juliet.ask("get", to, PING).await, "");
        }
        for to in ["romeo@localhost", "nobody@localhost"] {
            assert_eq!(juliet.ask("get", Some(to), PING).await, "cancel service-unavailable");
        }
        world.contact("romeo@localhost", "juliet@localhost", Subscription::From).await;
        assert_eq!(juliet.ask("get", Some("romeo@localhost"), PING).await, "");
        assert_eq!(juliet.ask("set", Some("localhost"), PING).await, "cancel not-allowed");
    }
}
