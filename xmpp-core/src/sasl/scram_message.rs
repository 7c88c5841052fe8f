//! The two messages of a SCRAM client (RFC 5802 section 7).
//!
//! ```text
//! client-first  = gs2-flag "," ["a=" authzid] ","  ["m=" ... ","] "n=" name ",r=" nonce ["," extensions]
//!                 '-------- gs2-header ---------'  '------------------- bare ------------------------'
//! client-final  = "c=" base64 ",r=" nonce ["," extensions] ",p=" base64
//!                 '----------- without proof ------------'
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::sasl::AuthError;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BindingFlag<'a> {
    /// `n`: the client knows no channel binding.
    No,
    /// `y`: the client knows it and believes that the server does not.
    NotOffered,
    /// `p=NAME`: the client binds to this type.
    Bound(&'a str),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst<'a> {
    pub flag: BindingFlag<'a>,
    pub authzid: Option<String>,
    pub username: String,
    pub nonce: &'a str,
    /// With both of its commas, as it comes back in `c=`.
    pub gs2_header: &'a str,
    /// As received: it is a part of what is signed.
    pub bare: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientFinal<'a> {
    pub channel_binding: Vec<u8>,
    pub nonce: &'a str,
    pub proof: Vec<u8>,
    /// As received: it is a part of what is signed.
    pub without_proof: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<ClientFirst<'a>, AuthError> {
        let message = as_text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(AuthError::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(AuthError::Malformed)?;
        let gs2_header = &message[..message.len() - bare.len()];
        let flag = parse_flag(flag)?;
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(parse_saslname(name)?),
            None if authzid.is_empty() => None,
            None => return Err(AuthError::Malformed),
        };
        let mut attributes = bare.split(',');
        let username = parse_saslname(expect(attributes.next(), "n=")?)?;
        let nonce = parse_nonce(expect(attributes.next(), "r=")?)?;
        skip_extensions(attributes)?;
        Ok(ClientFirst { flag, authzid, username, nonce, gs2_header, bare })
    }
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Result<ClientFinal<'a>, AuthError> {
        let message = as_text(message)?;
        // The proof is last, and base64 has no comma.
        let (without_proof, proof) = message.rsplit_once(',').ok_or(AuthError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let channel_binding = parse_base64(expect(attributes.next(), "c=")?)?;
        let nonce = parse_nonce(expect(attributes.next(), "r=")?)?;
        skip_extensions(attributes)?;
        let proof = parse_base64(expect(Some(proof), "p=")?)?;
        Ok(ClientFinal { channel_binding, nonce, proof, without_proof })
    }
}

fn as_text(message: &[u8]) -> Result<&str, AuthError> {
    match std::str::from_utf8(message) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(AuthError::Malformed),
    }
}

fn parse_flag(flag: &str) -> Result<BindingFlag<'_>, AuthError> {
    match flag {
        "n" => Ok(BindingFlag::No),
        "y" => Ok(BindingFlag::NotOffered),
        _ => match flag.strip_prefix("p=") {
            Some(name) if !name.is_empty() && name.bytes().all(is_binding_name_byte) => {
                Ok(BindingFlag::Bound(name))
            }
            _ => Err(AuthError::Malformed),
        },
    }
}

fn is_binding_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

/// The value of the attribute that must come here. `m=` in its place is a mandatory extension, which
/// must fail the login (RFC 5802 section 5.1).
fn expect<'a>(attribute: Option<&'a str>, name: &str) -> Result<&'a str, AuthError> {
    let attribute = attribute.ok_or(AuthError::Malformed)?;
    if attribute.starts_with("m=") {
        return Err(AuthError::UnknownExtension);
    }
    attribute.strip_prefix(name).ok_or(AuthError::Malformed)
}

/// Unknown optional attributes are ignored (RFC 5802 section 5.1).
fn skip_extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), AuthError> {
    for attribute in attributes {
        match attribute.split_once('=') {
            Some(("m", _)) => return Err(AuthError::UnknownExtension),
            Some((name, _)) if !name.is_empty() => {}
            _ => return Err(AuthError::Malformed),
        }
    }
    Ok(())
}

/// `=2C` is a comma and `=3D` an equals sign; any other `=` must fail the login (RFC 5802 section 5.1).
fn parse_saslname(name: &str) -> Result<String, AuthError> {
    let mut pieces = name.split('=');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (replacement, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(AuthError::Malformed),
        };
        plain.push(replacement);
        plain.push_str(rest);
    }
    if plain.is_empty() { Err(AuthError::Malformed) } else { Ok(plain) }
}

fn parse_nonce(nonce: &str) -> Result<&str, AuthError> {
    let printable = |byte| matches!(byte, 0x21..=0x2b | 0x2d..=0x7e);
    if nonce.is_empty() || !nonce.bytes().all(printable) { Err(AuthError::Malformed) } else { Ok(nonce) }
}

fn parse_base64(text: &str) -> Result<Vec<u8>, AuthError> {
    BASE64.decode(text).map_err(|_| AuthError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(message: &str) -> Result<ClientFirst<'_>, AuthError> {
        ClientFirst::parse(message.as_bytes())
    }

    fn last(message: &str) -> Result<ClientFinal<'_>, AuthError> {
        ClientFinal::parse(message.as_bytes())
    }

    #[test]
    fn a_first_message_with_everything() {
        let message = first("p=tls-exporter,a=u=2C=3D@x,n=us=3Der,r=abc,x=1,yy=z=,q=").expect("parses");
        assert_eq!(message.flag, BindingFlag::Bound("tls-exporter"));
        assert_eq!(message.authzid.as_deref(), Some("u,=@x"));
        assert_eq!((message.username.as_str(), message.nonce), ("us=er", "abc"));
        assert_eq!(message.gs2_header, "p=tls-exporter,a=u=2C=3D@x,");
        assert_eq!(message.bare, "n=us=3Der,r=abc,x=1,yy=z=,q=");
    }

    #[test]
    fn first_messages_that_are_none() {
        for bad in [
            "",
            ",",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,r=abc,n=user",
            "n,,n=,r=abc",
            "n,,n=user,r=",
            "x,,n=u,r=a",
            "N,,n=u,r=a",
            "p=,,n=u,r=a",
            "p=a b,,n=u,r=a",
            "n,a=,n=u,r=a",
            "n,u,n=u,r=a",
            "n,,n=u=41,r=a",
            "n,,n=u=,r=a",
            "n,,n=u=2c,r=a",
            "n,,n=u,r=a b",
            "n,,n=u,r=\u{e9}",
            "n,,n=u,r=a,",
            "n,,n=u,r=a,x",
            "n,,n=u,r=a,=x",
            "n,,n=u\0,r=a",
        ] {
            assert_eq!(first(bad), Err(AuthError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_mandatory_extension_is_refused_wherever_it_stands() {
        for bad in ["n,,m=x,n=u,r=a", "n,,n=u,m=x,r=a", "n,,n=u,r=a,m=x", "n,,n=u,r=a,y=1,m=x"] {
            assert_eq!(first(bad), Err(AuthError::UnknownExtension), "{bad:?}");
        }
        for bad in ["m=x,c=biws,r=a,p=AAAA", "c=biws,r=a,m=x,p=AAAA", "c=biws,r=a,m=x"] {
            assert_eq!(last(bad), Err(AuthError::UnknownExtension), "{bad:?}");
        }
    }

    #[test]
    fn a_final_message_with_an_extension() {
        let message = last("c=biws,r=ab%,x=y,p=AAEC").expect("parses");
        assert_eq!((message.channel_binding.as_slice(), message.nonce), (b"n,,".as_slice(), "ab%"));
        assert_eq!(message.proof, [0, 1, 2]);
        assert_eq!(message.without_proof, "c=biws,r=ab%,x=y");
    }

    #[test]
    fn final_messages_that_are_none() {
        for bad in [
            "",
            ",",
            "c=biws",
            "c=biws,r=a",
            "c=biws,p=AAAA",
            "r=a,c=biws,p=AAAA",
            "c=biws,r=a,p=AAAA,x=1",
            "c=b,r=a,p=AAAA",
            "c=bi ws,r=a,p=AAAA",
            "c=biws,r=a,p=AAA",
            "c=biws,r=,p=AAAA",
            "c=biws,r=a,p=A===",
            "c=biws,r=a,,p=AAAA",
        ] {
            assert_eq!(last(bad), Err(AuthError::Malformed), "{bad:?}");
        }
    }
}
