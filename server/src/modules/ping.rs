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
