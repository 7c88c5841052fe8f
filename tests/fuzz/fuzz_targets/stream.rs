#![no_main]
//! A client's side of a connection: no panic, nobody comes in without a password, and the server says the same
//! however the bytes are cut.
//!
//! The first byte chooses what the server offers, the second where to cut.

use libfuzzer_sys::fuzz_target;
use meerkat_fuzz::driver::{Server, Setup, tls_1_3};

fuzz_target!(|data: &[u8]| {
    let [choice, cut, bytes @ ..] = data else { return };
    let start_tls = choice & 1 != 0;
    let setup = if start_tls { Setup::usual() } else { Setup::open() };
    let tls = (choice & 2 != 0).then(tls_1_3);
    // Without a store nobody's password is right.
    let setup = Setup { registration: choice & 4 != 0, tls, unavailable: true, ..setup };
    let whole = said(&setup, bytes, bytes.len().max(1));
    // Where a cut behind <starttls/> falls makes a difference, and must.
    if !start_tls {
        assert_eq!(said(&setup, bytes, 1), whole, "byte by byte");
        assert_eq!(said(&setup, bytes, usize::from(*cut).max(2)), whole, "cut");
    }
});

fn said(setup: &Setup, bytes: &[u8], piece: usize) -> String {
    let mut server = Server::new(setup);
    for piece in bytes.chunks(piece) {
        server.feed(piece);
    }
    server.with(|negotiation| negotiation.handle_eof());
    let said = server.said();
    // One domain of the driver's checks tokens, and has one that is right.
    if !server.facts.iter().any(|fact| fact.starts_with("verify")) {
        assert!(server.closed && server.established.is_none(), "the end is the end");
        assert!(!said.contains("<success"), "a login without a password");
    }
    said
}
