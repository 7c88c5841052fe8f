//! The server's name and version (XEP-0092), and the operating system's name if the operator allows it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::{Element, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult};

pub struct Version {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for Version {
    fn name(&self) -> &'static str {
        "version"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::VERSION, Scope::Server);
        host.answer_iq(ns::VERSION, Scope::Server, self);
    }
}

impl AnswerIq for Version {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, _: &'a Arc<Router>) -> Answer<'a, IqResult> {
        Answer::Now(iq.is_get().map(|()| Some(self.version())))
    }
}

impl Version {
    fn version(&self) -> Element {
        let part = |name: &str, text: &str| Element::new(name, ns::VERSION).text(text);
        let query = Element::new("query", ns::VERSION)
            .child(part("name", "Meerkat"))
            .child(part("version", env!("CARGO_PKG_VERSION")));
        // Section 5: whether the system is told is the administrator's choice.
        match self.live.load().modules.version.os_info {
            true => query.child(part("os", std::env::consts::OS)),
            false => query,
        }
    }
}
