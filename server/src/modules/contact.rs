//! Addresses of the people who run the server (XEP-0157), in the domain's disco information.

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::{Element, ns};

use crate::config::{self, Config, Uri};
use crate::host::{HostBuilder, Module};

const FORM_TYPE: &str = "http://jabber.org/network/serverinfo";

pub struct Contact {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for Contact {
    fn name(&self) -> &'static str {
        "contact"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.server_form(move || form(&self.live.load().modules.contact));
    }
}

/// The form of section 5.1, with the fields that have an address; no form without any.
fn form(contact: &config::Contact) -> Option<Element> {
    let fields = [
        ("abuse-addresses", &contact.abuse),
        ("admin-addresses", &contact.admin),
        ("feedback-addresses", &contact.feedback),
        ("sales-addresses", &contact.sales),
        ("security-addresses", &contact.security),
        ("status-addresses", &contact.status),
        ("support-addresses", &contact.support),
    ];
    let fields: Vec<Element> = fields
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(var, addresses)| field(var, "list-multi", addresses.iter().map(Uri::as_str)))
        .collect();
    if fields.is_empty() {
        return None;
    }
    let form_type = field("FORM_TYPE", "hidden", [FORM_TYPE].into_iter());
    let form = Element::new("x", ns::DATA_FORMS).attr("type", "result").child(form_type);
    Some(form.children(fields))
}

fn field<'v>(var: &str, type_: &str, values: impl Iterator<Item = &'v str>) -> Element {
    let values = values.map(|value| Element::new("value", ns::DATA_FORMS).text(value));
    Element::new("field", ns::DATA_FORMS).attr("var", var).attr("type", type_).children(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_addresses_there_is_no_form() {
        assert_eq!(form(&config::Contact::default()), None);
    }

    #[test]
    fn only_what_is_configured_has_a_field() {
        let abuse = ["mailto:abuse@shakespeare.lit", "xmpp:abuse@shakespeare.lit"];
        let abuse = abuse.iter().map(|uri| uri.parse().expect("a URI")).collect();
        let contact = config::Contact { abuse, ..config::Contact::default() };
        assert_eq!(
            form(&contact).map(|form| form.to_xml()).as_deref(),
            Some(
                "<x xmlns='jabber:x:data' type='result'>\
                 <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>\
                 <field var='abuse-addresses' type='list-multi'><value>mailto:abuse@shakespeare.lit</value>\
                 <value>xmpp:abuse@shakespeare.lit</value></field></x>"
            )
        );
    }
}
