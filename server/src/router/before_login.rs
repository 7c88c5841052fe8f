//! The one stanza that a client may send before it has authenticated: an IQ that registers an account
//! (XEP-0077 section 3.1.1).

use std::net::IpAddr;
use std::sync::Arc;

use xmpp_core::{Jid, Kind, Payload, Stanza, Type, ns};

use super::Router;
use super::hooks::Registrant;
use super::message::unavailable;

impl Router {
    /// The answer to a stanza on a stream to `domain` that is not authenticated. `None` for every
    /// other stanza: the stream ends with `not-authorized` (behaviour 13).
    pub async fn answer_before_login(
        self: &Arc<Self>,
        stanza: &Stanza,
        domain: &str,
        address: IpAddr,
    ) -> Option<Stanza> {
        let is_set = match (stanza.kind, stanza.type_) {
            (Kind::Iq, Type::Set) => true,
            (Kind::Iq, Type::Get) => false,
            _ => return None,
        };
        let to_domain = stanza.to.as_ref().is_none_or(|to| to.is_domain() && to.domain() == domain);
        let query = stanza.payload.get("query", ns::REGISTER).filter(|_| to_domain)?;
        let answer = match &self.host().register {
            None => Err(unavailable()),
            Some((_, hook)) => {
                let registrant = Registrant { domain, address, is_set, query };
                hook.register(&registrant, self).await
            }
        };
        let mut reply = match answer {
            Ok(element) => {
                let payload = element.as_ref().map_or_else(Payload::empty, Payload::from_element);
                Stanza { payload, ..stanza.result() }
            }
            Err(error) => stanza.error_reply(&error)?,
        };
        // The client has no address yet, whatever it said; the server has.
        reply.to = None;
        reply.from = Jid::new(None, domain, None).ok();
        Some(reply)
    }
}
