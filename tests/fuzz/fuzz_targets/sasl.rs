#![no_main]
//! Messages of SASL: no panic, and nobody logs in without the proof.
//!
//! The first byte chooses the mechanism and the channel; the rest are messages, one a line.

use libfuzzer_sys::fuzz_target;
use xmpp_core::sasl::{
    Channel, Credentials, Exchange, Mechanism, Offer, ScramHash, ScramSecret, Step, TlsInfo, fake_secret,
};

fuzz_target!(|data: &[u8]| {
    let [choice, messages @ ..] = data else { return };
    let mechanism = Mechanism::ALL[usize::from(*choice) % Mechanism::ALL.len()];
    let tls = TlsInfo { version_1_3: true, exporter: Some([7; 32]), server_end_point: Some(vec![8; 32]) };
    let channel =
        Channel { tls: (choice & 0x80 != 0).then_some(&tls), plain_without_tls: choice & 0x40 != 0 };
    let credentials = Credentials::Secrets(vec![ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512]);
    let offer = Offer::new(&Mechanism::ALL, &credentials, channel);
    let mut exchange = Exchange::new(mechanism);
    for message in messages.split(|byte| *byte == b'\n') {
        let mut step = exchange.respond(message, &offer);
        if let Step::Ask { .. } = step {
            let hash = mechanism.hash().unwrap_or(ScramHash::Sha256);
            step = exchange.answer(secret(hash), &offer, &mut |bytes| bytes.fill(1));
        }
        if let Step::Check(check) = &step {
            let right = check.run();
            step = exchange.checked(right);
        }
        match step {
            Step::Challenge(challenge) => assert!(challenge.starts_with(b"r="), "a server's first message"),
            Step::Failed(_) => return,
            Step::Done(_) => panic!("a login without the secret"),
            Step::Ask { .. } | Step::Check(_) => panic!("asked again"),
        }
    }
});

/// One that no password fits.
fn secret(hash: ScramHash) -> ScramSecret {
    fake_secret(&[9; 32], "romeo@montague.example", hash, 1)
}
