#![no_main]
//! An address is prepared once, keeps its bounds, and needs no escaping where none is done.

use libfuzzer_sys::fuzz_target;
use xmpp_core::jid::{PART_MAX_BYTES, prepare_domain, prepare_local, prepare_password, prepare_resource};
use xmpp_core::{BareJid, Jid};

fuzz_target!(|text: &str| {
    if let Ok(jid) = Jid::parse(text) {
        assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid), "what is prepared stays");
        assert_eq!(Jid::new(jid.local(), jid.domain(), jid.resource()).as_ref(), Ok(&jid));
        for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
            assert!(!part.is_empty() && part.len() <= PART_MAX_BYTES);
        }
        let bare = jid.bare();
        assert_eq!(BareJid::parse(bare.as_str()).as_ref(), Ok(&bare));
        assert_eq!(bare.as_str().contains('@'), jid.local().is_some());
        assert!(!bare.as_str().contains(['<', '&', '\'', '"', '>', '/', '\u{fffe}', '\u{ffff}']));
        assert!(!jid.as_str().chars().any(char::is_control));
    }
    for prepare in [prepare_local, prepare_domain, prepare_resource, prepare_password] {
        if let Ok(prepared) = prepare(text) {
            assert_eq!(prepare(&prepared).as_ref(), Ok(&prepared), "preparing again changes nothing");
        }
    }
});
