//! rxml, a strict parser of restricted XML, says what a document means: for the property tests and for the fuzz
//! targets, each of which uses a part of it.
#![allow(dead_code)]

use ::rxml::{Event, Parse, Parser};
use xmpp_core::Element;
use xmpp_core::xml::element::Node;

#[derive(Debug, PartialEq)]
pub enum Tree {
    Element {
        name: String,
        namespace: String,
        attributes: Vec<(String, String, String)>,
        children: Vec<Tree>,
    },
    Text(String),
}

pub fn tree(element: &Element) -> Tree {
    let owned = |(namespace, name, value): (&str, &str, &str)| {
        (namespace.to_owned(), name.to_owned(), value.to_owned())
    };
    let mut attributes: Vec<_> = element.all_attributes().map(owned).collect();
    attributes.sort();
    let children = element.nodes().iter().map(|node| match node {
        Node::Element(child) => tree(child),
        Node::Text(text) => Tree::Text(text.clone()),
    });
    Tree::Element {
        name: element.name().to_owned(),
        namespace: element.ns().to_owned(),
        attributes,
        children: children.collect(),
    }
}

/// None if rxml refuses the document.
pub fn read(document: &str) -> Option<Vec<Tree>> {
    let mut bytes = document.as_bytes();
    let mut parser = Parser::new();
    let mut around: Vec<Tree> = Vec::new();
    let mut trees = Vec::new();
    loop {
        match parser.parse(&mut bytes, true).ok()? {
            None => return Some(trees),
            Some(Event::XmlDeclaration(..)) => {}
            Some(Event::StartElement(_, (namespace, name), attributes)) => {
                let owned = |((namespace, name), value): ((&::rxml::Namespace, &::rxml::NcName), &String)| {
                    (namespace.to_string(), name.to_string(), value.clone())
                };
                let mut attributes: Vec<_> = attributes.iter().map(owned).collect();
                attributes.sort();
                let (name, namespace) = (name.to_string(), namespace.to_string());
                around.push(Tree::Element { name, namespace, attributes, children: Vec::new() });
            }
            Some(Event::EndElement(_)) => {
                let tree = around.pop()?;
                match around.last_mut() {
                    Some(Tree::Element { children, .. }) => children.push(tree),
                    _ => trees.push(tree),
                }
            }
            Some(Event::Text(_, text)) => push_text(around.last_mut()?, &text),
        }
    }
}

fn push_text(tree: &mut Tree, more: &str) {
    let Tree::Element { children, .. } = tree else { return };
    match children.last_mut() {
        _ if more.is_empty() => {}
        Some(Tree::Text(text)) => text.push_str(more),
        _ => children.push(Tree::Text(more.to_owned())),
    }
}

/// We take fewer of them than rxml, prefixes included: see xmpp-core/src/xml/names.rs. Inside a tag and outside
/// its quotes there are names and nothing else.
pub fn has_names_beyond_ascii(document: &str) -> bool {
    let mut tags = document.split('<').skip(1).filter(|tag| !tag.starts_with("![CDATA["));
    tags.any(|tag| {
        let mut quote = None;
        for character in tag.chars() {
            match quote {
                None if character == '>' => return false,
                None if !character.is_ascii() => return true,
                None if matches!(character, '"' | '\'') => quote = Some(character),
                Some(open) if character == open => quote = None,
                _ => {}
            }
        }
        false
    })
}

/// rxml 0.14 takes no character reference of more than eight characters, zeros in front included.
pub fn has_long_reference(document: &str) -> bool {
    let references = document.split("&#").skip(1);
    references.map(|rest| rest.split(';').next().unwrap_or(rest)).any(|digits| digits.len() > 6)
}

/// rxml 0.14 takes a default namespace that one tag declares twice.
pub fn declares_twice(document: &str) -> bool {
    let declares = |rest: &str| rest.trim_start().starts_with('=');
    document.split('<').any(|tag| tag.split("xmlns").skip(1).filter(|rest| declares(rest)).count() > 1)
}
