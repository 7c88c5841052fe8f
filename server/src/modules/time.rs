//! The server's time (XEP-0202). Its clock runs in UTC, hence the zone.

use std::sync::Arc;

use xmpp_core::{Element, date, ns};

use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult};

pub struct Time;

impl Module for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::TIME, Scope::Server);
        host.answer_iq(ns::TIME, Scope::Server, self);
    }
}

impl AnswerIq for Time {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        Answer::Now(iq.is_get().map(|()| {
            let utc = date::format_utc(router.now());
            let time = Element::new("time", ns::TIME)
                .child(Element::new("tzo", ns::TIME).text("+00:00"))
                .child(Element::new("utc", ns::TIME).text(&utc));
            Some(time)
        }))
    }
}

#[cfg(test)]
mod tests {
    use xmpp_core::{Element, date};

    use crate::testing::Stage;

    #[tokio::test(start_paused = true)]
    async fn the_time_is_now() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let answer = juliet.ask("get", Some("example.com"), "<time xmlns='urn:xmpp:time'/>").await;
        let time = Element::parse(answer.as_bytes()).expect("well-formed");
        let text = |name| time.find(name, "urn:xmpp:time").map(Element::content);
        assert_eq!(text("tzo").as_deref(), Some("+00:00"));
        let utc = text("utc").and_then(|utc| date::parse_utc(&utc)).expect("a time");
        assert!(stage.router.now().abs_diff(utc) <= 2, "{answer}");
    }
}
