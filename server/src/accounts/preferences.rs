//! What an account wants in its archive (XEP-0441), as it is stored and as a message is asked.

use xmpp_core::{Element, Jid, StanzaError, ns};

use crate::config::Archiving;

/// Where they are stored, as the `<prefs/>` that they were set by.
pub const COLLECTION: &str = "archive";
pub const KEY: &str = "preferences";

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preferences {
    /// `None`: the account has said nothing, and the configuration's default holds.
    default: Option<Archiving>,
    always: Vec<Jid>,
    never: Vec<Jid>,
}

impl Preferences {
    /// Section 2.1. `limit`: how many addresses may be named.
    pub fn parse(prefs: &Element, limit: usize) -> Result<Preferences, StanzaError> {
        let default =
            prefs.attribute("default").and_then(|word| Archiving::ALL.iter().find(|d| d.as_str() == word));
        let default = *default.ok_or_else(StanzaError::bad_request)?;
        let preferences = Preferences {
            default: Some(default),
            always: addresses(prefs, "always")?,
            never: addresses(prefs, "never")?,
        };
        if preferences.always.len() + preferences.never.len() > limit {
            let text = format!("at most {limit} addresses may be named");
            return Err(StanzaError::not_acceptable().with_text(text));
        }
        Ok(preferences)
    }

    /// What was stored. Preferences that cannot be read are none: nothing is lost by that.
    pub fn read(stored: &[u8]) -> Preferences {
        let prefs = Element::parse(stored).ok().and_then(|prefs| Preferences::parse(&prefs, usize::MAX).ok());
        prefs.unwrap_or_default()
    }

    pub fn parts(&self) -> (Option<Archiving>, &[Jid], &[Jid]) {
        (self.default, &self.always, &self.never)
    }

    /// As `parts` gave them.
    pub fn of_parts(default: Option<Archiving>, always: Vec<Jid>, never: Vec<Jid>) -> Preferences {
        Preferences { default, always, never }
    }

    /// Section 2.3: is what goes to or comes from this address archived? `default` holds for an account
    /// that has said nothing.
    pub fn archives(&self, peer: &Jid, default: Archiving, is_contact: impl FnOnce() -> bool) -> bool {
        let names = |list: &[Jid]| list.iter().any(|entry| *entry == *peer || *entry == peer.bare());
        if names(&self.never) {
            return false;
        }
        names(&self.always)
            || match self.default.unwrap_or(default) {
                Archiving::Always => true,
                Archiving::Never => false,
                Archiving::Roster => is_contact(),
            }
    }

    pub fn element(&self, default: Archiving) -> Element {
        let list = |name: &str, jids: &[Jid]| {
            let jids = jids.iter().map(|jid| Element::new("jid", ns::MAM).text(jid.as_str()));
            Element::new(name, ns::MAM).children(jids)
        };
        Element::new("prefs", ns::MAM)
            .attr("default", self.default.unwrap_or(default).as_str())
            .child(list("always", &self.always))
            .child(list("never", &self.never))
    }
}

fn addresses(prefs: &Element, name: &str) -> Result<Vec<Jid>, StanzaError> {
    let Some(list) = prefs.find(name, ns::MAM) else { return Ok(Vec::new()) };
    let jids = list.elements().filter(|element| element.is("jid", ns::MAM));
    let jids = jids.map(|jid| Jid::parse(jid.content().trim()).map_err(|_| StanzaError::jid_malformed()));
    let mut jids = jids.collect::<Result<Vec<Jid>, _>>()?;
    jids.sort_unstable();
    jids.dedup();
    Ok(jids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(xml: &str) -> Preferences {
        let xml = format!("<prefs xmlns='urn:xmpp:mam:2' {xml}</prefs>");
        Preferences::parse(&Element::parse(xml.as_bytes()).expect("XML"), 10).expect("preferences")
    }

    fn archives(preferences: &Preferences, peer: &str) -> bool {
        preferences.archives(&Jid::parse(peer).expect("an address"), Archiving::Always, || false)
    }

    /// XEP-0441 section 2.3.1.
    #[test]
    fn a_bare_entry_is_for_all_resources_a_full_one_for_itself() {
        let some = preferences(
            "default='never'><always><jid>a@b</jid><jid>c@d/e</jid></always><never><jid>a@b/x</jid></never>",
        );
        for (peer, archived) in [
            ("a@b", true),
            ("a@b/y", true),
            ("a@b/x", false),
            ("c@d", false),
            ("c@d/e", true),
            ("f@g", false),
        ] {
            assert_eq!(archives(&some, peer), archived, "{peer}");
        }
        assert!(archives(&Preferences::default(), "f@g"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for xml in ["default='sometimes'/>", "/>", "default='always'><never><jid>@</jid></never></prefs>"] {
            let xml = format!("<prefs xmlns='urn:xmpp:mam:2' {xml}");
            let prefs = Element::parse(xml.as_bytes()).expect("XML");
            assert!(Preferences::parse(&prefs, 10).is_err(), "{xml}");
        }
        let many = preferences("default='always'><never><jid>a@b</jid><jid>A@B</jid><jid>c</jid></never>");
        assert_eq!(many.never.len(), 2);
        assert!(Preferences::parse(&many.element(Archiving::Always), 1).is_err());
    }
}
