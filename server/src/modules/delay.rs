//! Delayed delivery (XEP-0203): only the server says in its own name for how long it kept something. The
//! notes themselves are added where something was kept (`router/backlog.rs`, `c2s/sleep.rs`).

use std::sync::Arc;

use xmpp_core::{Jid, ns};

use crate::host::{HostBuilder, Module};
use crate::router::Router;
use crate::router::hooks::{Answer, Letter, OnSent, Verdict};

pub struct Delay;

impl Module for Delay {
    fn name(&self) -> &'static str {
        "delay"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_sent(self);
    }
}

/// Section 6: a note in the name of a domain of ours is discarded. Others' stay, whatever they are worth.
impl OnSent for Delay {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let payload = &mut letter.stanza.payload;
        if payload.has("delay", ns::DELAY) {
            let ours = |by: Jid| by.is_domain() && router.is_served(by.domain());
            payload.retain(|child| {
                let by = || child.element().attribute("from").and_then(|by| Jid::parse(by).ok());
                !(child.is("delay", ns::DELAY) && by().is_some_and(ours))
            });
        }
        Answer::Now(Verdict::Pass)
    }
}
