//! The stream header: the XML declaration and the opening tag (RFC 6120 sections 4.7, 4.8 and 11.5).

use super::Limits;
use super::scope::{DECLARATIONS_MAX, Scope};
use super::tag::{TagReader, Value};
use super::tokens::{Token, Tokens};
use crate::ns;
use crate::stream_error::{StreamCondition, StreamError};

/// The attributes of `<stream:stream>` as they came, and its content namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamHeader {
    pub to: Option<String>,
    pub from: Option<String>,
    pub id: Option<String>,
    pub version: Option<String>,
    pub lang: Option<String>,
    /// The default namespace; where none is declared (RFC 6120 section 4.8.2) the one that was expected.
    pub content_ns: String,
}

/// What the header leaves behind for the elements of its stream.
#[derive(Debug, Clone, Default)]
pub struct StreamScope {
    /// The opening tag's name as written; None for `stream:stream`.
    name: Option<Box<str>>,
    /// Declarations, where there are others than the default namespace that was expected and
    /// `xmlns:stream`: few streams have any, and each costs memory for as long as the stream lives.
    declarations: Option<Box<[Declaration]>>,
}

/// Prefix (empty for the default) and namespace.
type Declaration = (Box<str>, Box<str>);

impl StreamScope {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("stream:stream")
    }

    /// The declarations in force for a first-level element.
    pub fn scope<'a>(&'a self, content: &'static str) -> Result<Scope<'a>, StreamError> {
        let Some(declarations) = &self.declarations else { return Ok(Scope::of_stream(content)) };
        let mut scope = Scope::new(DECLARATIONS_MAX);
        for (prefix, uri) in declarations {
            scope.declare(prefix, Value::any(uri))?;
        }
        Ok(scope)
    }
}

/// Reads the opening tag, `<` to `>`. `content` is the content namespace that this side expects.
pub fn read(
    tag: &str,
    content: &'static str,
    limits: Limits,
) -> Result<(StreamHeader, StreamScope), StreamError> {
    let mut tokens = Tokens::new(tag, Scope::new(DECLARATIONS_MAX), limits);
    let Some(Token::Start(start)) = tokens.next()? else {
        return Err(StreamError::not_well_formed("no stream header"));
    };
    if start.name != "stream" || tokens.scope.uri(start.namespace) != ns::STREAM {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    let default = tokens.scope.uri(tokens.scope.default_namespace());
    // Section 4.8.2: the content namespace may be left to each first-level element.
    if !matches!(default, "" | ns::STREAM) && default != content {
        return Err(StreamCondition::InvalidNamespace.into());
    }
    let mut header = StreamHeader { content_ns: content.to_owned(), ..StreamHeader::default() };
    for attribute in &tokens.attributes {
        let place = match attribute.name {
            _ if attribute.is_lang() => &mut header.lang,
            _ if attribute.namespace.is_some() => continue,
            "to" => &mut header.to,
            "from" => &mut header.from,
            "id" => &mut header.id,
            "version" => &mut header.version,
            _ => continue,
        };
        *place = Some(attribute.value.as_ref().to_owned());
    }
    let name = tag.get(1..).unwrap_or_default();
    let name = name.split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or_default();
    Ok((
        header,
        StreamScope { name: other_than(name, "stream:stream"), declarations: others(&tokens.scope, content) },
    ))
}

fn other_than(name: &str, usual: &str) -> Option<Box<str>> {
    (name != usual).then(|| name.into())
}

fn others(scope: &Scope, content: &str) -> Option<Box<[Declaration]>> {
    let usual = |(prefix, uri): (&str, &str)| {
        (prefix.is_empty() && uri == content) || (prefix == "stream" && uri == ns::STREAM)
    };
    let all_usual = scope.declarations().count() == 2 && scope.declarations().all(usual);
    (!all_usual).then(|| scope.declarations().map(|(prefix, uri)| (prefix.into(), uri.into())).collect())
}

/// Whether an opening tag inside a stream is that of a stream.
pub fn is_header<'a>(tag: &'a str, scope: Scope<'a>) -> Result<bool, StreamError> {
    let mut tokens = Tokens::new(tag, scope, Limits::TRUSTED);
    match tokens.next()? {
        Some(Token::Start(start)) => {
            Ok(start.name == "stream" && tokens.scope.uri(start.namespace) == ns::STREAM)
        }
        _ => Ok(false),
    }
}

/// Checks an XML declaration, `<?xml` to `?>` (XML 1.0 section 2.8, productions 23 to 26, 32 and 80).
pub fn check_declaration(declaration: &str) -> Result<(), StreamError> {
    let malformed = || StreamError::not_well_formed("a malformed XML declaration");
    let inside = declaration.strip_prefix("<?xml").and_then(|rest| rest.strip_suffix("?>"));
    let mut tag = TagReader::new(inside.unwrap_or_default());
    let version = tag.attribute()?.filter(|(name, _)| name.is("version"));
    if version.is_none_or(|(_, value)| value.text != "1.0") {
        return Err(malformed());
    }
    let mut rest = ["encoding", "standalone"].into_iter();
    while let Some((name, value)) = tag.attribute()? {
        // Each once, in this order.
        match rest.find(|expected| name.is(expected)) {
            Some("encoding") if value.text.eq_ignore_ascii_case("UTF-8") => {}
            Some("encoding") => return Err(StreamCondition::UnsupportedEncoding.into()),
            // RFC 6120 section 11.5 lets us ignore it.
            Some("standalone") if matches!(&*value.text, "yes" | "no") => {}
            _ => return Err(malformed()),
        }
    }
    Ok(())
}
