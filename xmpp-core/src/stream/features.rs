//! `<stream:features/>` (RFC 6120 section 4.3.2).

use crate::ns;
use crate::sasl::Offer;
use crate::stream::{Announced, Host, Settings};
use crate::xml::element::Element;

/// TLS first: no mechanism is shown in the clear (RFC 6120 section 5.3.1).
pub(super) fn tls_only() -> Element {
    let starttls = Element::new("starttls", ns::TLS).child(Element::new("required", ns::TLS));
    features().child(starttls)
}

pub(super) fn before_auth(settings: &Settings, host: &Host, offer: &Offer, start_tls: bool) -> Element {
    let mut features = features();
    if start_tls {
        features.push(Element::new("starttls", ns::TLS));
    }
    if !offer.mechanisms().is_empty() {
        let mechanism = |name| Element::new("mechanism", ns::SASL).text(name);
        let names = offer.mechanisms().iter().map(|mechanism| mechanism.name());
        features.push(Element::new("mechanisms", ns::SASL).children(names.map(mechanism)));
    }
    if offer.has_plus() {
        let binding = |name| Element::new("channel-binding", ns::SASL_CHANNEL_BINDING).attr("type", name);
        let names = offer.bindings().map(|binding| binding.name());
        let bindings = Element::new("sasl-channel-binding", ns::SASL_CHANNEL_BINDING);
        features.push(bindings.children(names.map(binding)));
    }
    if host.registration {
        features.push(Element::new("register", ns::REGISTER_FEATURE));
    }
    features.children(limits(settings.limits_before_login))
}

pub(super) fn after_auth(settings: &Settings, host: &Host) -> Element {
    // The session of RFC 3921 does nothing, and old clients ask for it unless it is optional.
    let session = Element::new("session", ns::SESSION).child(Element::new("optional", ns::SESSION));
    features()
        .child(Element::new("bind", ns::BIND))
        .child(session)
        .children(host.features.iter().cloned())
        .children(limits(settings.limits))
}

pub(super) fn write(features: &Element, out: &mut Vec<u8>) {
    // The prefix is declared by the header, which a stand-alone element cannot know.
    out.extend_from_slice(b"<stream:features>");
    for feature in features.elements() {
        feature.write(ns::CLIENT, out);
    }
    out.extend_from_slice(b"</stream:features>");
}

fn features() -> Element {
    Element::new("features", ns::STREAM)
}

/// XEP-0478.
fn limits(announced: Announced) -> Option<Element> {
    let limit = |name, value: String| Element::new(name, ns::STREAM_LIMITS).text(&value);
    let max_bytes = announced.max_bytes.map(|bytes| limit("max-bytes", bytes.to_string()));
    let idle_seconds = announced.idle_seconds.map(|seconds| limit("idle-seconds", seconds.to_string()));
    let any = max_bytes.is_some() || idle_seconds.is_some();
    let limits = Element::new("limits", ns::STREAM_LIMITS).children(max_bytes).children(idle_seconds);
    any.then_some(limits)
}
