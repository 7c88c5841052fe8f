//! The `sasl` crate's clients as peers, and clients that do it wrong.

use proptest::prelude::*;
use sasl::client::Mechanism as Client;
use sasl::client::mechanisms::{Plain as PlainClient, Scram as ScramClient};
use sasl::common::scram::{ScramProvider, Sha1, Sha256};
use sasl::common::{ChannelBinding, Credentials as ClientCredentials, Identity};
use sasl::server::{Mechanism as _, Response};

use super::*;
use crate::sasl::{Channel, Credentials, InHand, ScramHash, TlsInfo};

const STANDARD: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;
const EXPORTER: [u8; 32] = [9; 32];
const END_POINT: [u8; 32] = [5; 32];

pub(super) fn mechanism(name: &str) -> Mechanism {
    Mechanism::from_name(name).expect("a known mechanism")
}

pub(super) fn secret(hash: ScramHash, password: &str, salt: &str, iterations: u32) -> ScramSecret {
    let salt = STANDARD.decode(salt).expect("base64");
    ScramSecret::derive(hash, password, &salt, iterations).expect("a fair password")
}

/// What TLS 1.3 lets this server offer.
fn full_offer() -> Offer {
    let tls =
        TlsInfo { version_1_3: true, exporter: Some(EXPORTER), server_end_point: Some(END_POINT.to_vec()) };
    let credentials = Credentials::Secrets(ScramHash::ALL.to_vec());
    Offer::new(&Mechanism::ALL, &credentials, Channel { tls: Some(&tls), plain_without_tls: false })
}

pub(super) fn plain_offer() -> Offer {
    let credentials = Credentials::Secrets(ScramHash::ALL.to_vec());
    Offer::new(&Mechanism::ALL, &credentials, Channel { tls: None, plain_without_tls: true })
}

/// Chance that is not, but differs from call to call.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    }
}

/// Runs a client of the `sasl` crate against our side behind the same crate's server trait.
fn meet(name: &str, client: &mut dyn Client, offer: Offer, password: &str) -> Result<String, String> {
    let stored = secret(mechanism(name).hash().unwrap_or(ScramHash::Sha256), password, "c2FsdA==", 64);
    let lookup = move |_: &str| stored.clone();
    let mut server = InHand::new(Exchange::new(mechanism(name)), offer, lookup, counting());
    assert_eq!(server.name(), client.name());
    let mut message = client.initial();
    loop {
        match server.respond(&message).map_err(|error| error.to_string())? {
            Response::Proceed(challenge) => {
                message = client.response(&challenge).map_err(|error| error.to_string())?
            }
            Response::Success(Identity::Username(username), data) => {
                client.success(&data).map_err(|error| error.to_string())?;
                return Ok(username);
            }
            Response::Success(Identity::None, _) => return Err("nobody".to_owned()),
        }
    }
}

fn scram_client<S: ScramProvider>(binding: ChannelBinding) -> ScramClient<S> {
    ScramClient::new("user", "pencil", binding).expect("there is chance enough")
}

#[test]
fn clients_of_the_sasl_crate_log_in() {
    let exporter = || ChannelBinding::TlsExporter(EXPORTER.to_vec());
    let user = Ok("user".to_owned());
    let mut client = scram_client::<Sha1>(ChannelBinding::None);
    assert_eq!(meet("SCRAM-SHA-1", &mut client, full_offer(), "pencil"), user);
    let mut client = scram_client::<Sha256>(ChannelBinding::Unsupported);
    assert_eq!(meet("SCRAM-SHA-256", &mut client, plain_offer(), "pencil"), user);
    let mut client = scram_client::<Sha1>(exporter());
    assert_eq!(meet("SCRAM-SHA-1-PLUS", &mut client, full_offer(), "pencil"), user);
    let mut client = scram_client::<Sha256>(exporter());
    assert_eq!(meet("SCRAM-SHA-256-PLUS", &mut client, full_offer(), "pencil"), user);
    let credentials = ClientCredentials::default().with_username("user").with_password("pencil");
    let mut client = PlainClient::from_credentials(credentials).expect("complete");
    assert_eq!(meet("PLAIN", &mut client, full_offer(), "pencil"), user);
}

#[test]
fn clients_of_the_sasl_crate_are_refused() {
    let mut client = scram_client::<Sha256>(ChannelBinding::None);
    assert!(meet("SCRAM-SHA-256", &mut client, full_offer(), "another").is_err());
    let mut client = scram_client::<Sha256>(ChannelBinding::Unsupported);
    assert!(meet("SCRAM-SHA-256", &mut client, full_offer(), "pencil").is_err(), "a downgrade");
    let mut client = scram_client::<Sha256>(ChannelBinding::TlsExporter(vec![8; 32]));
    assert!(meet("SCRAM-SHA-256-PLUS", &mut client, full_offer(), "pencil").is_err(), "another channel");
    let mut client = scram_client::<Sha256>(ChannelBinding::TlsUnique(vec![8; 12]));
    assert!(meet("SCRAM-SHA-256-PLUS", &mut client, full_offer(), "pencil").is_err());
    let mut client = PlainClient::new("user", "wrong");
    assert!(meet("PLAIN", &mut client, full_offer(), "pencil").is_err());
}

/// A client whose every piece can be made wrong.
struct Scripted {
    hash: ScramHash,
    gs2_header: &'static str,
    bound_to: &'static [u8],
    /// In place of the nonce that the server sent.
    nonce: Option<&'static str>,
    /// In place of the iterations that the server sent.
    iterations: Option<u32>,
    password: &'static str,
}

const HONEST: Scripted = Scripted {
    hash: ScramHash::Sha512,
    gs2_header: "n,,",
    bound_to: b"",
    nonce: None,
    iterations: None,
    password: "pencil",
};

impl Scripted {
    fn client_first(&self) -> String {
        format!("{}n=user,r=clientnonce", self.gs2_header)
    }

    fn client_final(&self, server_first: &str) -> String {
        let value = |name: &str| {
            let attribute = server_first.split(',').find_map(|attribute| attribute.strip_prefix(name));
            attribute.expect("the server sent it").to_owned()
        };
        let binding = STANDARD.encode([self.gs2_header.as_bytes(), self.bound_to].concat());
        let nonce = self.nonce.map_or_else(|| value("r="), str::to_owned);
        let iterations = self.iterations.unwrap_or_else(|| value("i=").parse().expect("a number"));
        let without_proof = format!("c={binding},r={nonce}");
        let signed = format!("n=user,r=clientnonce,{server_first},{without_proof}");
        let salt = STANDARD.decode(value("s=")).expect("base64");
        let salted = self.hash.salted_password(self.password.as_bytes(), &salt, iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let signature = self.hash.hmac(&self.hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }

    /// Plays it against a server that has the secret of "pencil", to its end.
    fn outcome(&self, name: &str, offer: &Offer) -> Result<Vec<u8>, AuthError> {
        let mut exchange = Exchange::new(mechanism(name));
        match exchange.respond(self.client_first().as_bytes(), offer) {
            Step::Ask { .. } => {}
            Step::Failed(error) => return Err(error),
            other => panic!("{other:?}"),
        }
        let secret = secret(self.hash, "pencil", "c2FsdA==", 64);
        let Step::Challenge(challenge) = exchange.answer(secret, offer, &mut counting()) else {
            panic!("a challenge follows the secret");
        };
        let server_first = String::from_utf8(challenge).expect("text");
        match exchange.respond(self.client_final(&server_first).as_bytes(), offer) {
            Step::Done(data) => Ok(data),
            Step::Failed(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_binding_binds() {
    let exporter = Scripted { gs2_header: "p=tls-exporter,,", bound_to: &EXPORTER, ..HONEST };
    let end_point = Scripted { gs2_header: "p=tls-server-end-point,,", bound_to: &END_POINT, ..HONEST };
    assert!(HONEST.outcome("SCRAM-SHA-512", &full_offer()).is_ok(), "the scripted client itself is right");
    assert!(exporter.outcome("SCRAM-SHA-512-PLUS", &full_offer()).is_ok());
    assert!(end_point.outcome("SCRAM-SHA-512-PLUS", &full_offer()).is_ok());

    let crossed = Scripted { bound_to: &END_POINT, ..exporter };
    assert_eq!(crossed.outcome("SCRAM-SHA-512-PLUS", &full_offer()), Err(AuthError::BindingMismatch));
    let unbound = Scripted { bound_to: b"", ..crossed };
    assert_eq!(unbound.outcome("SCRAM-SHA-512-PLUS", &full_offer()), Err(AuthError::BindingMismatch));
    let bound_by_n = Scripted { bound_to: &EXPORTER, ..HONEST };
    assert_eq!(bound_by_n.outcome("SCRAM-SHA-512", &full_offer()), Err(AuthError::BindingMismatch));
}

#[test]
fn wrong_flags_fail_before_any_secret_is_asked_for() {
    let fails = |gs2_header, name, offer: &Offer| Scripted { gs2_header, ..HONEST }.outcome(name, offer);
    let offer = full_offer();
    assert_eq!(fails("y,,", "SCRAM-SHA-512", &offer), Err(AuthError::Downgrade));
    assert!(fails("y,,", "SCRAM-SHA-512", &plain_offer()).is_ok(), "nothing was offered, so `y` is true");
    assert_eq!(fails("y,,", "SCRAM-SHA-512-PLUS", &offer), Err(AuthError::Malformed));
    assert_eq!(fails("n,,", "SCRAM-SHA-512-PLUS", &offer), Err(AuthError::Malformed));
    assert_eq!(fails("p=tls-exporter,,", "SCRAM-SHA-512", &offer), Err(AuthError::Malformed));
    let unsupported = fails("p=tls-unique,,", "SCRAM-SHA-512-PLUS", &offer);
    assert_eq!(unsupported, Err(AuthError::UnsupportedBinding));
    assert!(!AuthError::UnsupportedBinding.is_failed_login());
}

#[test]
fn wrong_proofs_are_all_the_same_to_the_client() {
    let replayed = Scripted { nonce: Some("clientnonceAAECAwQFBgcICQoLDA0ODxAREhMUFRYW"), ..HONEST };
    let truncated = Scripted { nonce: Some("clientnonce"), ..HONEST };
    let iterations = Scripted { iterations: Some(63), ..HONEST };
    let password = Scripted { password: "pencils", ..HONEST };
    for (client, error) in [
        (replayed, AuthError::NonceMismatch),
        (truncated, AuthError::NonceMismatch),
        (iterations, AuthError::WrongPassword),
        (password, AuthError::WrongPassword),
    ] {
        let outcome = client.outcome("SCRAM-SHA-512", &full_offer());
        assert_eq!(outcome, Err(error));
        assert_eq!(error.failure(), crate::sasl::SaslFailure::NotAuthorized);
    }
}

#[test]
fn a_secret_of_another_hash_lets_nobody_in() {
    let mut exchange = Exchange::new(mechanism("SCRAM-SHA-512"));
    exchange.respond(HONEST.client_first().as_bytes(), &full_offer());
    let other = secret(ScramHash::Sha1, "pencil", "c2FsdA==", 64);
    let Step::Challenge(challenge) = exchange.answer(other, &full_offer(), &mut counting()) else {
        panic!("a challenge follows the secret");
    };
    let client_final = HONEST.client_final(&String::from_utf8(challenge).expect("text"));
    let step = exchange.respond(client_final.as_bytes(), &full_offer());
    assert!(matches!(step, Step::Failed(AuthError::WrongPassword)), "{step:?}");
}

#[test]
fn plain_shows_its_password_to_whom_asks() {
    let mut exchange = Exchange::new(Mechanism::Plain);
    assert_eq!(exchange.take_password(), None);
    let step = exchange.respond(b"user@localhost\0user\0token", &full_offer());
    assert!(matches!(&step, Step::Ask { authzid: Some(authzid), .. } if authzid == "user@localhost"));
    assert_eq!(exchange.take_password().expect("shown").as_str(), "token");
    assert!(matches!(exchange.checked(true), Step::Done(data) if data.is_empty()));
    assert!(matches!(exchange.checked(true), Step::Failed(_)), "once is enough");
}

#[test]
fn nothing_is_done_out_of_turn() {
    let mut exchange = Exchange::new(mechanism("SCRAM-SHA-1"));
    assert!(matches!(exchange.checked(true), Step::Failed(AuthError::Malformed)));
    let mut exchange = Exchange::new(mechanism("SCRAM-SHA-1"));
    let secret = secret(ScramHash::Sha1, "pencil", "c2FsdA==", 1);
    assert!(matches!(exchange.answer(secret, &full_offer(), &mut counting()), Step::Failed(_)));
    let mut exchange = Exchange::new(mechanism("SCRAM-SHA-1"));
    exchange.respond(b"n,,n=user,r=a", &full_offer());
    assert!(matches!(exchange.respond(b"c=biws,r=a,p=AAAA", &full_offer()), Step::Failed(_)));
}

#[test]
fn a_message_is_bounded() {
    for mechanism in Mechanism::ALL {
        let name = "u".repeat(MAX_MESSAGE_BYTES);
        for message in [format!("n,,n={name},r=a"), format!("\0{name}\0pencil")] {
            let step = Exchange::new(mechanism).respond(message.as_bytes(), &full_offer());
            assert!(matches!(step, Step::Failed(AuthError::Malformed)), "{step:?}");
        }
    }
}

/// Pieces that SCRAM is made of, so that garbage gets further than the first byte.
fn near_scram() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "n",
        "y",
        "p=",
        "tls-exporter",
        ",",
        ",,",
        "=",
        "n=",
        "r=",
        "a=",
        "m=",
        "c=",
        "p=",
        "biws",
        "user",
        "=2C",
        "=3D",
        "=",
        "clientnonce",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "\0",
        "é",
        "x=y",
        "",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Nothing a client sends makes the server panic, or lets in one who has not the password.
    #[test]
    fn garbage_never_logs_in(
        which in 0..Mechanism::ALL.len(),
        first in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), near_scram().prop_map(String::into_bytes)],
        second in prop_oneof![prop::collection::vec(any::<u8>(), 0..64), near_scram().prop_map(String::into_bytes)],
    ) {
        let offer = full_offer();
        let mut exchange = Exchange::new(Mechanism::ALL[which]);
        let mut step = exchange.respond(&first, &offer);
        if let Step::Ask { .. } = step {
            let hash = exchange.mechanism().hash().unwrap_or(ScramHash::Sha1);
            step = exchange.answer(secret(hash, "pencil", "c2FsdA==", 1), &offer, &mut counting());
        }
        if let Step::Check(check) = &step {
            let right = check.run();
            step = exchange.checked(right);
        }
        if let Step::Challenge(_) = step {
            step = exchange.respond(&second, &offer);
        }
        prop_assert!(matches!(step, Step::Failed(_)), "{step:?}");
    }
}
