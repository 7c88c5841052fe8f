//! Which mechanisms a stream offers: what is configured, what the domain's credentials can answer,
//! and what the channel allows, all three.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::sasl::{AuthError, BindingType, Mechanism, ScramHash, TlsInfo};

/// What a domain can say about its accounts' credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// It hands out secrets of these hashes. The first is also the one that a fake has for PLAIN: name
    /// the one that a real account would be checked with.
    Secrets(Vec<ScramHash>),
    /// It only checks a password or token that it is shown (HTTP, JWT, LDAP): PLAIN alone serves.
    Verify,
}

/// The channel that a stream runs on.
#[derive(Debug, Clone, Copy)]
pub struct Channel<'a> {
    /// `None` without TLS.
    pub tls: Option<&'a TlsInfo>,
    /// Let PLAIN pass without TLS: behind a proxy that ends TLS, or in tests.
    pub plain_without_tls: bool,
}

/// The mechanisms and channel bindings announced on one stream. Valid until the stream is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    mechanisms: Vec<Mechanism>,
    bindings: Vec<(BindingType, Vec<u8>)>,
    /// PLAIN is on and would serve, were the channel encrypted.
    plain_needs_tls: bool,
}

impl Offer {
    /// `configured` is in order of preference; the offer keeps the order.
    pub fn new(configured: &[Mechanism], credentials: &Credentials, channel: Channel<'_>) -> Offer {
        let bindings = channel.tls.map(TlsInfo::bindings).unwrap_or_default();
        let plain_allowed = channel.tls.is_some() || channel.plain_without_tls;
        let mut offer = Offer { mechanisms: Vec::new(), bindings: Vec::new(), plain_needs_tls: false };
        for mechanism in configured.iter().copied().filter(|mechanism| credentials.serve(*mechanism)) {
            let allowed = match mechanism {
                Mechanism::Scram { plus: true, .. } => !bindings.is_empty(),
                Mechanism::Scram { plus: false, .. } => true,
                Mechanism::Plain => plain_allowed,
            };
            if allowed && !offer.mechanisms.contains(&mechanism) {
                offer.mechanisms.push(mechanism);
            }
            offer.plain_needs_tls |= mechanism == Mechanism::Plain && !plain_allowed;
        }
        // A client that sees bindings without a mechanism to use them must take it for an attack
        // (XEP-0440 section 3), so they are announced together or not at all.
        if let Some(tls) = channel.tls.filter(|_| offer.has_plus()) {
            let with_data = |binding| tls.binding(binding).map(|data| (binding, data.to_vec()));
            offer.bindings = bindings.into_iter().filter_map(with_data).collect();
        }
        offer
    }

    /// What no channel gives: the bindings of a specification's example.
    #[cfg(test)]
    pub(crate) fn of(mechanisms: &[Mechanism], bindings: &[(BindingType, &[u8])]) -> Offer {
        let bindings = bindings.iter().map(|(binding, data)| (*binding, data.to_vec())).collect();
        Offer { mechanisms: mechanisms.to_vec(), bindings, plain_needs_tls: false }
    }

    pub fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    /// The channel binding types of XEP-0440.
    pub fn bindings(&self) -> impl Iterator<Item = BindingType> + '_ {
        self.bindings.iter().map(|(binding, _)| *binding)
    }

    pub fn has_plus(&self) -> bool {
        self.mechanisms.iter().any(|mechanism| mechanism.is_plus())
    }

    /// The mechanism of an `<auth mechanism='...'/>`, if this stream offers it.
    pub fn find(&self, name: &str) -> Result<Mechanism, AuthError> {
        match Mechanism::from_name(name) {
            Some(mechanism) if self.mechanisms.contains(&mechanism) => Ok(mechanism),
            Some(Mechanism::Plain) if self.plain_needs_tls => Err(AuthError::EncryptionRequired),
            _ => Err(AuthError::InvalidMechanism),
        }
    }

    /// What a client that binds to the type of this name must have bound to.
    pub(crate) fn binding_data(&self, name: &str) -> Option<&[u8]> {
        let wanted = BindingType::from_name(name)?;
        let (_, data) = self.bindings.iter().find(|(binding, _)| *binding == wanted)?;
        Some(data)
    }

    /// The `h` attribute of XEP-0474 section 5.1: what was announced, in the order of its bytes, so
    /// that a client finds out when somebody on the way took something away.
    pub(crate) fn downgrade_protection(&self, hash: ScramHash) -> String {
        let mut text = sorted(self.mechanisms.iter().map(|mechanism| mechanism.name()));
        if !self.bindings.is_empty() {
            text.push('\x1f');
            text.push_str(&sorted(self.bindings().map(BindingType::name)));
        }
        BASE64.encode(hash.digest(text.as_bytes()))
    }
}

impl Credentials {
    fn serve(&self, mechanism: Mechanism) -> bool {
        match (self, mechanism) {
            (Credentials::Secrets(hashes), Mechanism::Scram { hash, .. }) => hashes.contains(&hash),
            (Credentials::Secrets(hashes), Mechanism::Plain) => !hashes.is_empty(),
            (Credentials::Verify, mechanism) => mechanism == Mechanism::Plain,
        }
    }
}

fn sorted(names: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names.join("\x1e")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(version_1_3: bool) -> TlsInfo {
        TlsInfo { version_1_3, exporter: Some([1; 32]), server_end_point: Some(vec![2; 32]) }
    }

    fn names(offer: &Offer) -> Vec<&'static str> {
        offer.mechanisms().iter().map(|mechanism| mechanism.name()).collect()
    }

    fn offer(credentials: &Credentials, tls: Option<&TlsInfo>) -> Offer {
        Offer::new(&Mechanism::ALL, credentials, Channel { tls, plain_without_tls: false })
    }

    #[test]
    fn the_channel_decides() {
        let all = Credentials::Secrets(ScramHash::ALL.to_vec());
        let offered = offer(&all, Some(&tls(true)));
        assert_eq!(offered.mechanisms(), Mechanism::ALL);
        assert_eq!(offered.bindings().collect::<Vec<_>>(), BindingType::ALL);

        let offered = offer(&all, Some(&tls(false)));
        assert_eq!(names(&offered), ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
        assert_eq!(offered.bindings().count(), 0);

        let offered = offer(&all, None);
        assert_eq!(names(&offered), ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]);
        assert_eq!(offered.find("PLAIN"), Err(AuthError::EncryptionRequired));
        assert_eq!(offered.find("SCRAM-SHA-1-PLUS"), Err(AuthError::InvalidMechanism));

        let no_binding = TlsInfo { version_1_3: true, ..TlsInfo::default() };
        assert!(!offer(&all, Some(&no_binding)).has_plus());
    }

    #[test]
    fn the_credentials_decide() {
        let one = Credentials::Secrets(vec![ScramHash::Sha256]);
        assert_eq!(names(&offer(&one, Some(&tls(true)))), ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"]);
        let verify = offer(&Credentials::Verify, Some(&tls(true)));
        assert_eq!(names(&verify), ["PLAIN"]);
        assert_eq!(verify.bindings().count(), 0, "no mechanism would use them");
        assert_eq!(names(&offer(&Credentials::Verify, None)), Vec::<&str>::new());
        assert_eq!(names(&offer(&Credentials::Secrets(Vec::new()), Some(&tls(true)))), Vec::<&str>::new());
    }

    #[test]
    fn the_configuration_decides_and_orders() {
        let configured =
            ["PLAIN", "SCRAM-SHA-1", "PLAIN"].map(|name| Mechanism::from_name(name).expect("known"));
        let credentials = Credentials::Secrets(ScramHash::ALL.to_vec());
        let clear = Channel { tls: None, plain_without_tls: true };
        assert_eq!(names(&Offer::new(&configured, &credentials, clear)), ["PLAIN", "SCRAM-SHA-1"]);
        let offered =
            Offer::new(&configured[1..2], &credentials, Channel { plain_without_tls: false, ..clear });
        assert_eq!(offered.find("PLAIN"), Err(AuthError::InvalidMechanism));
    }

    /// The example of XEP-0474 section 5.3.
    #[test]
    fn downgrade_protection_of_the_specification() {
        let configured = [true, false].map(|plus| Mechanism::Scram { hash: ScramHash::Sha1, plus });
        let credentials = Credentials::Secrets(vec![ScramHash::Sha1]);
        let tls = tls(true);
        let offer =
            Offer::new(&configured, &credentials, Channel { tls: Some(&tls), plain_without_tls: false });
        assert_eq!(offer.downgrade_protection(ScramHash::Sha1), "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    }
}
