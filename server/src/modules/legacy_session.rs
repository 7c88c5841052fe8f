//! The session request of RFC 3921, which RFC 6121 dropped: older clients still send it behind the
//! bind, and it does nothing. The stream announces it as optional.

use std::sync::Arc;

use xmpp_core::{StanzaError, ns};

use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};

pub struct LegacySession;

impl Module for LegacySession {
    fn name(&self) -> &'static str {
        "legacy session"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.answer_iq(ns::SESSION, Scope::Both, self);
    }
}

impl AnswerIq for LegacySession {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, _: &'a Arc<Router>) -> Answer<'a, IqResult> {
        Answer::Now(match &iq.target {
            Target::Server(_) | Target::Own(_) if iq.is_set => Ok(None),
            _ => Err(StanzaError::service_unavailable()),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Stage;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_granted_and_does_nothing() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
        assert_eq!(juliet.ask("set", None, session).await, "");
        assert_eq!(juliet.ask("set", Some("example.com"), session).await, "");
        let to_another = juliet.ask("set", Some("romeo@example.com"), session).await;
        assert_eq!(to_another, "cancel service-unavailable");
    }
}
