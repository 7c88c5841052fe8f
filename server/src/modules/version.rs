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

#[cfg(test)]
mod tests {
    use crate::testing::Stage;

    const QUERY: &str = "<query xmlns='jabber:iq:version'/>";

    /// Section 4: the system's name only if the administrator wants, from one moment to the next.
    #[tokio::test(start_paused = true)]
    async fn the_system_is_told_only_where_it_may() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let plain = juliet.ask("get", Some("example.com"), QUERY).await;
        assert!(plain.contains("<name>Meerkat</name><version>"), "{plain}");
        assert!(!plain.contains("<os>"), "{plain}");

        let mut config = (*stage.live.load_full()).clone();
        config.modules.version.os_info = true;
        stage.live.store(std::sync::Arc::new(config));
        let told = juliet.ask("get", Some("example.com"), QUERY).await;
        assert!(told.contains(&format!("<os>{}</os>", std::env::consts::OS)), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn switched_off_it_is_not_there() {
        let stage = Stage::configured(|config| config.modules.version.enabled = false).await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let answer = juliet.ask("get", Some("example.com"), QUERY).await;
        assert_eq!(answer, "cancel service-unavailable");
        assert!(!stage.router.host().server_features.contains(&"jabber:iq:version"));
    }
}
