//! Whatever comes, in whatever order and however cut: no panic, no way in without the password, and an
//! end behind which nothing is said.

use proptest::prelude::*;

use crate::driver::*;

/// Pieces of streams, right ones and wrong ones, so that every state is reached.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let piece = prop::sample::select(vec![
        CLIENT_HEADER,
        CLIENT_HEADER,
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHdyb25n</auth>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1yb21lbyxyPWE=</auth>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>=</auth>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9YSxwPUFBQUE=</response>",
        "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<iq type='get' id='2'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='get'/>",
        "<presence/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<foo/>",
        " ",
        "</stream:stream>",
        "<",
        "\u{4}",
    ]);
    prop::collection::vec(piece, 0..12)
}

/// SCRAM that is quick enough to be tried often.
fn setups() -> impl Strategy<Value = Setup> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(required, registration, tls)| {
        let setup = if required { Setup::usual() } else { Setup::open() };
        Setup { registration, tls: tls.then(tls_1_3), unavailable: true, ..setup }
    })
}

proptest! {
    #[test]
    fn nobody_comes_in_by_accident(setup in setups(), pieces in pieces(), cut in 1..40usize) {
        let mut server = Server::new(&setup);
        for bytes in pieces.concat().as_bytes().chunks(cut) {
            server.feed(bytes);
        }
        server.with(|negotiation| negotiation.handle_eof());
        prop_assert!(server.closed);
        prop_assert!(server.established.is_none());
        prop_assert!(!server.said().contains("<success"));
        server.feed(CLIENT_HEADER.as_bytes());
        server.with(|negotiation| negotiation.handle_timeout());
        prop_assert_eq!(server.said(), "");
    }

    #[test]
    fn behind_a_login_nothing_panics(pieces in pieces(), cut in 1..40usize) {
        let mut server = Server::new(&Setup { unavailable: false, ..Setup::open() });
        server.feed(format!("{CLIENT_HEADER}{ROMEO}{CLIENT_HEADER}").as_bytes());
        prop_assert!(!server.closed);
        for bytes in pieces.concat().as_bytes().chunks(cut) {
            server.feed(bytes);
        }
        server.with(|negotiation| negotiation.handle_shutdown());
        prop_assert!(server.closed || server.established.is_some());
    }
}
