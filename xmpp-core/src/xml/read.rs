//! Frames from the text of first-level elements.

use smallvec::SmallVec;

use super::canonical::Canonical;
use super::chars;
use super::element::Element;
use super::inbox::not_utf8;
use super::scope::Scope;
use super::tag::Value;
use super::tokens::{Attribute, Start, Token, Tokens};
use super::{Fault, Frame, Limits, Malformed};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Kind, Stanza, Type};
use crate::stanza_error::Condition;
use crate::stream_error::{StreamCondition, StreamError};

pub struct Read {
    pub frame: Frame,
    /// Bytes of text that were read.
    pub length: usize,
    /// Bytes and comparisons that it took.
    pub work: u64,
}

/// Reads the first-level element that the text begins with. `content` is the stream's content namespace,
/// `scratch` a buffer to write in.
pub fn frame<'a>(
    text: &'a str,
    scope: Scope<'a>,
    content: &str,
    limits: Limits,
    scratch: &mut Vec<u8>,
) -> Result<Read, StreamError> {
    let mut tokens = Tokens::new(text, scope, limits);
    let Some(Token::Start(start)) = tokens.next()? else {
        return Err(StreamError::not_well_formed("no element"));
    };
    let kind = match tokens.scope.uri(start.namespace) == content {
        true => kind_of(start.name),
        false => None,
    };
    let frame = match kind {
        Some(kind) => stanza(kind, &start, &mut tokens, limits, scratch)?,
        None if start.name == "stream" && tokens.scope.uri(start.namespace) == ns::STREAM => {
            return Err(second_header());
        }
        None => Frame::Element(Element::read(&start, &mut tokens)?),
    };
    Ok(Read { frame, length: tokens.position(), work: tokens.work() })
}

/// RFC 6120 does not say what a stream inside a stream is; as a first-level element it is not supported.
pub fn second_header() -> StreamError {
    StreamError::new(StreamCondition::UnsupportedStanzaType).with_text("a second stream header")
}

/// Reads a stanza that stands alone, with or without `xmlns='jabber:client'`.
pub(crate) fn read_stanza(xml: &[u8]) -> Result<Stanza, StreamError> {
    let mut scope = Scope::new(usize::MAX);
    scope.declare("", Value::plain(ns::CLIENT))?;
    let text = standing_alone(xml)?;
    let read = frame(text, scope, ns::CLIENT, Limits::TRUSTED, &mut Vec::new())?;
    if read.length != text.len() {
        return Err(StreamError::not_well_formed("something behind the stanza"));
    }
    match read.frame {
        Frame::Stanza(stanza) => Ok(stanza),
        Frame::Malformed(malformed) => {
            Err(StreamError::new(StreamCondition::BadFormat).with_text(malformed.condition.as_str()))
        }
        _ => Err(StreamCondition::UnsupportedStanzaType.into()),
    }
}

/// An element in bytes of its own, which may have white space around it.
pub fn standing_alone(xml: &[u8]) -> Result<&str, StreamError> {
    let text =
        str::from_utf8(xml).map_err(|error| not_utf8(xml.get(error.valid_up_to()..).unwrap_or_default()))?;
    let text = text.trim_matches(chars::SPACE);
    match text.starts_with('<') {
        true => Ok(text),
        false => Err(StreamError::not_well_formed("no element")),
    }
}

fn stanza(
    kind: Kind,
    start: &Start,
    tokens: &mut Tokens,
    limits: Limits,
    scratch: &mut Vec<u8>,
) -> Result<Frame, StreamError> {
    let (mut stanza, mut fault) = envelope(kind, &tokens.attributes);
    if !start.empty {
        stanza.payload = Canonical::new(start.namespace, scratch, limits.stanza_bytes).write(tokens)?;
    }
    // RFC 6120 section 8.2.3, rules 3 and 4.
    if fault.is_none() && matches!(stanza.type_, Type::Get | Type::Set) && stanza.payload.child_count() != 1 {
        fault = Some(Fault::Children);
    }
    Ok(match fault {
        None => Frame::Stanza(stanza),
        Some(fault) => {
            let condition = match fault {
                Fault::From | Fault::To => Condition::JidMalformed,
                Fault::Type | Fault::Id | Fault::Children => Condition::BadRequest,
            };
            Frame::Malformed(Malformed { stanza, condition, fault })
        }
    })
}

/// The header of a stanza. Attributes that RFC 6120 section 8.1 does not know have no meaning and stay here.
fn envelope(kind: Kind, attributes: &SmallVec<[Attribute; 8]>) -> (Stanza, Option<Fault>) {
    let mut stanza = Stanza::new(kind, Type::None);
    let (mut from_is_bad, mut to_is_bad, mut type_is_bad) = (false, false, kind == Kind::Iq);
    for attribute in attributes {
        let value = &*attribute.value;
        if attribute.is_lang() {
            stanza.lang = Some(value.into());
        } else if attribute.is("from") {
            stanza.from = Jid::parse(value).ok();
            from_is_bad = stanza.from.is_none();
        } else if attribute.is("to") {
            stanza.to = Jid::parse(value).ok();
            to_is_bad = stanza.to.is_none();
        } else if attribute.is("id") {
            stanza.id = Some(value.into());
        } else if attribute.is("type") {
            let type_ = Type::of(kind, value);
            // RFC 6121 section 5.2.2: a message of unknown type is a normal one.
            type_is_bad = type_.is_none() && kind != Kind::Message;
            stanza.type_ = type_.unwrap_or(Type::None);
        }
    }
    let faults = [
        (from_is_bad, Fault::From),
        (to_is_bad, Fault::To),
        (type_is_bad, Fault::Type),
        (kind == Kind::Iq && stanza.id.is_none(), Fault::Id),
    ];
    (stanza, faults.into_iter().find(|(bad, _)| *bad).map(|(_, fault)| fault))
}

fn kind_of(name: &str) -> Option<Kind> {
    match name {
        "message" => Some(Kind::Message),
        "presence" => Some(Kind::Presence),
        "iq" => Some(Kind::Iq),
        _ => None,
    }
}
