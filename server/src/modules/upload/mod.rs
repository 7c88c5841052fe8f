//! Slots for files (XEP-0363): the service at `upload.DOMAIN`, which gives accounts of the domain a URL to put a
//! file to and one to read it from. What happens at these URLs is the HTTP side's.

mod request;

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::date::format_utc;
use xmpp_core::{BareJid, Condition, Element, ErrorType, StanzaError, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Identity, Module, info};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};
use crate::router::{Router, stanza_error};
use crate::telemetry::bound::Bound;
use crate::uploads::{Slot, SlotError, SlotRequest, Uploads};

const NAME: &str = "HTTP File Upload";
const PURPOSES: [&str; 2] =
    ["urn:xmpp:http:upload:purpose:0#message", "urn:xmpp:http:upload:purpose:0#ephemeral"];

pub struct Upload {
    pub live: Arc<ArcSwap<Config>>,
    pub uploads: Arc<Uploads>,
}

impl Module for Upload {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        let answered = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::UPLOAD];
        host.service("upload", NAME, answered.map(|ns| (ns, self.clone() as Arc<dyn AnswerIq>)));
    }
}

impl AnswerIq for Upload {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let Target::Service(domain) = &iq.target else {
            return Answer::Now(Err(StanzaError::service_unavailable()));
        };
        if let Err(error) = iq.is_get() {
            return Answer::Now(Err(error));
        }
        match iq.query.ns() {
            ns::UPLOAD => Answer::later(self.slot(iq, domain, router)),
            _ if iq.query.attribute("node").is_some() => Answer::Now(Err(StanzaError::item_not_found())),
            ns::DISCO_INFO => Answer::Now(Ok(Some(self.info()))),
            _ => Answer::Now(Ok(Some(Element::new("query", ns::DISCO_ITEMS)))),
        }
    }
}

impl Upload {
    /// Section 3.
    fn info(&self) -> Element {
        let identity = Identity { category: "store", type_: "file", name: Some(NAME) };
        let features = [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::UPLOAD].into_iter().chain(PURPOSES);
        let most = self.live.load().modules.upload.max_file_bytes.to_string();
        let field = |var: &str, value: &str| {
            let value = Element::new("value", ns::DATA_FORMS).text(value);
            Element::new("field", ns::DATA_FORMS).attr("var", var).child(value)
        };
        let form = Element::new("x", ns::DATA_FORMS)
            .attr("type", "result")
            .child(field("FORM_TYPE", ns::UPLOAD).attr("type", "hidden"))
            .child(field("max-file-size", &most));
        info(&[identity], &features.collect::<Vec<_>>()).child(form)
    }

    /// Section 4.
    async fn slot(&self, iq: &Iq<'_>, domain: &str, router: &Router) -> IqResult {
        let from: BareJid = iq.from.bare();
        let forbidden =
            || StanzaError::forbidden().with_text("Only accounts of this domain may upload files");
        if from.domain() != domain {
            return Err(forbidden());
        }
        let account = router.accounts.find(&from).get().await.map_err(|error| stanza_error(&error))?;
        let account = account.ok_or_else(forbidden)?;
        let request = request::read(&iq.query)?;
        match self.uploads.grant(account.number, domain, request).await {
            Ok(slot) => Ok(Some(element(&slot))),
            Err(error) => Err(refusal(&error, router)),
        }
    }
}

fn element(slot: &Slot) -> Element {
    Element::new("slot", ns::UPLOAD)
        .child(Element::new("put", ns::UPLOAD).attr("url", &slot.put))
        .child(Element::new("get", ns::UPLOAD).attr("url", &slot.get))
}

/// Section 5.
fn refusal(error: &SlotError, router: &Router) -> StanzaError {
    let bad = |text: &str| StanzaError::bad_request().with_text(text);
    match error {
        SlotError::TooLarge { most } => {
            router.metrics.refused(Bound::MaxFileBytes);
            let most = most.to_string();
            let size = Element::new("max-file-size", ns::UPLOAD).text(&most);
            StanzaError::not_acceptable()
                .with_type(ErrorType::Modify)
                .with_text(format!("File too large. The maximum file size is {most} bytes"))
                .with_extra(Element::new("file-too-large", ns::UPLOAD).child(size))
        }
        SlotError::BadTitle => bad("This name cannot be kept: at most 255 bytes, no path, nothing invisible"),
        SlotError::BadMediaType => bad("The content-type is none"),
        SlotError::Quota { by_count, retry } => {
            router.metrics.refused(if *by_count { Bound::FilesPerDay } else { Bound::BytesPerDay });
            let error = StanzaError::new(Condition::ResourceConstraint)
                .with_type(ErrorType::Wait)
                .with_text("Quota reached. This account has uploaded as much as it may within a day");
            match retry {
                None => error,
                Some(time) => {
                    error.with_extra(Element::new("retry", ns::UPLOAD).attr("stamp", format_utc(*time)))
                }
            }
        }
        SlotError::Store(error) => stanza_error(error),
    }
}

#[cfg(test)]
mod tests;
