//! What a stanza has to look like.
//!
//! Attributes and children that a pattern lists must be there; what it does not list may be there,
//! unless the match is exact. `<not>..</not>` holds children that must not be there; with `<only/>` an
//! element has no children and no text but those that are listed.

use super::words::{Known, Wanted, wanted};
use crate::xml::Node;

/// Does it match? What `{new name}` stands for is known behind it. `Err`: why it does not.
pub fn matches(pattern: &Node, got: &Node, exact: bool, known: &mut Known) -> Result<(), String> {
    if (&pattern.name, &pattern.ns) != (&got.name, &got.ns) {
        return Err(format!("it is <{} xmlns='{}'/>, not {}", got.name, got.ns, opening(pattern)));
    }
    let mut learned = known.clone();
    let only = exact || pattern.elements().any(|child| child.name == "only");
    attributes(pattern, got, exact, &mut learned)?;
    text(pattern, got, only, &mut learned)?;
    children(pattern, got, exact, only, &mut learned)?;
    *known = learned;
    Ok(())
}

fn opening(node: &Node) -> String {
    format!("<{} xmlns='{}'/>", node.name, node.ns)
}

fn attributes(pattern: &Node, got: &Node, exact: bool, known: &mut Known) -> Result<(), String> {
    for attribute in &pattern.attributes {
        let found = got.attributes.iter().find(|a| (&a.ns, &a.name) == (&attribute.ns, &attribute.name));
        let what = format!("the attribute {} of <{}/>", attribute.name, got.name);
        value(&attribute.value, found.map(|a| a.value.as_str()), &what, known)?;
    }
    let listed = |name: &str, ns: &str| pattern.attributes.iter().any(|a| a.name == name && a.ns == ns);
    let more = got.attributes.iter().find(|a| exact && !listed(&a.name, &a.ns));
    match more {
        Some(more) => Err(format!("<{}/> has {}='{}' too", got.name, more.name, more.value)),
        None => Ok(()),
    }
}

fn text(pattern: &Node, got: &Node, only: bool, known: &mut Known) -> Result<(), String> {
    let expected = pattern.text();
    let found = Some(got.text()).filter(|text| !text.is_empty());
    let what = format!("the text of <{}/>", got.name);
    match (expected.is_empty(), only) {
        (false, _) => value(&expected, found.as_deref(), &what, known),
        (true, false) => Ok(()),
        (true, true) => match found {
            Some(found) => Err(format!("{what} is '{found}', and there should be none")),
            None => Ok(()),
        },
    }
}

fn value(expected: &str, found: Option<&str>, what: &str, known: &mut Known) -> Result<(), String> {
    let expected = wanted(expected, known)?;
    let Some(found) = found else {
        return if expected == Wanted::Absent { Ok(()) } else { Err(format!("{what} is not there")) };
    };
    match expected {
        Wanted::Any => Ok(()),
        Wanted::Absent => Err(format!("{what} is there: '{found}'")),
        Wanted::New(name) => {
            known.insert(name, found.to_owned());
            Ok(())
        }
        Wanted::Other(other) if other == found => Err(format!("{what} is '{found}' again")),
        Wanted::Other(_) => Ok(()),
        Wanted::Date => match is_date(found) {
            true => Ok(()),
            false => Err(format!("{what} is '{found}', which is no date of XEP-0082")),
        },
        Wanted::Exactly(expected) if expected == found => Ok(()),
        Wanted::Exactly(expected) => Err(format!("{what} is '{found}', not '{expected}'")),
    }
}

/// `2026-11-21T12:00:00.123Z`, with or without the fraction.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let fraction = |rest: &str| {
        rest.strip_prefix('.').is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c == '9'))
    };
    let seconds = shape.strip_suffix('Z').and_then(|shape| shape.strip_prefix("9999-99-99T99:99:99"));
    seconds.is_some_and(|rest| rest.is_empty() || fraction(rest))
}

fn children(pattern: &Node, got: &Node, exact: bool, only: bool, known: &mut Known) -> Result<(), String> {
    let listed: Vec<&Node> = pattern.elements().filter(|c| c.name != "not" && c.name != "only").collect();
    let found: Vec<&Node> = got.elements().collect();
    if !assign(&listed, &found, &mut vec![false; found.len()], exact, known) {
        return Err(missing(&listed, &found, got, exact, known));
    }
    if only && found.len() > listed.len() {
        let children: Vec<String> = found.iter().map(|c| opening(c)).collect();
        let count = listed.len();
        return Err(format!("<{}/> has more children than {count}: {}", got.name, children.join(", ")));
    }
    for unwanted in pattern.elements().filter(|c| c.name == "not").flat_map(Node::elements) {
        if got.elements().any(|child| matches(unwanted, child, false, &mut known.clone()).is_ok()) {
            return Err(format!("<{}/> has a child {}", got.name, opening(unwanted)));
        }
    }
    Ok(())
}

/// Gives each listed child one of its own among those found.
fn assign(listed: &[&Node], found: &[&Node], taken: &mut Vec<bool>, exact: bool, known: &mut Known) -> bool {
    let Some((first, rest)) = listed.split_first() else { return true };
    for (index, candidate) in found.iter().enumerate() {
        let mut learned = known.clone();
        if taken[index] || matches(first, candidate, exact, &mut learned).is_err() {
            continue;
        }
        taken[index] = true;
        if assign(rest, found, taken, exact, &mut learned) {
            *known = learned;
            return true;
        }
        taken[index] = false;
    }
    false
}

/// The likeliest reason why the listed children are not all there.
fn missing(listed: &[&Node], found: &[&Node], got: &Node, exact: bool, known: &Known) -> String {
    for child in listed {
        let namesakes: Vec<&&Node> = found.iter().filter(|f| f.is(&child.name, &child.ns)).collect();
        let tries = namesakes.iter().map(|f| matches(child, f, exact, &mut known.clone()));
        let reasons: Result<Vec<()>, String> = tries.clone().collect();
        match (namesakes.len(), reasons) {
            (0, _) => return format!("<{}/> has no child {}", got.name, opening(child)),
            (1, Err(reason)) => return reason,
            _ if tries.clone().all(|tried| tried.is_err()) => {
                return format!("none of the {} {} is {child}", namesakes.len(), opening(child));
            }
            _ => {}
        }
    }
    format!("<{}/> has not as many children of one kind as are listed", got.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::elements;

    fn check(pattern: &str, got: &str) -> Result<Known, String> {
        let (pattern, got) = (elements(pattern).expect("a pattern"), elements(got).expect("a stanza"));
        let mut known = Known::from([("id".to_owned(), "m1".to_owned())]);
        matches(&pattern[0], &got[0], false, &mut known).map(|()| known)
    }

    const GOT: &str = "<message id='m1' type='chat' from='a@b/c'><body>Hark</body>\
        <delay xmlns='urn:xmpp:delay' stamp='2026-11-21T12:00:00.123Z'/><x xmlns='u' n='1'/><x xmlns='u' n='2'/>\
        </message>";

    #[test]
    fn what_is_listed_must_be_there() {
        assert!(check("<message id='{id}'><body>Hark</body></message>", GOT).is_ok());
        assert_eq!(
            check("<message id='m2'/>", GOT).unwrap_err(),
            "the attribute id of <message/> is 'm1', not 'm2'"
        );
        assert_eq!(
            check("<message to='x'/>", GOT).unwrap_err(),
            "the attribute to of <message/> is not there"
        );
        assert_eq!(
            check("<message><body>Lo</body></message>", GOT).unwrap_err(),
            "the text of <body/> is 'Hark', not 'Lo'"
        );
        assert!(check("<message><subject/></message>", GOT).unwrap_err().contains("has no child <subject"));
        assert!(check("<presence/>", GOT).is_err());
    }

    #[test]
    fn children_are_matched_one_by_one() {
        assert!(check("<message><x xmlns='u' n='2'/><x xmlns='u' n='{new n}'/></message>", GOT).is_ok());
        assert!(check("<message><x xmlns='u' n='2'/><x xmlns='u' n='2'/></message>", GOT).is_err());
        let known = check("<message><x xmlns='u' n='{new n}'/><x xmlns='u' n='1'/></message>", GOT);
        assert_eq!(known.unwrap().get("n").map(String::as_str), Some("2"));
    }

    #[test]
    fn what_must_not_be_there() {
        assert!(check("<message><not><delay xmlns='urn:xmpp:delay'/></not></message>", GOT).is_err());
        assert!(check("<message><not><delay xmlns='urn:other'/></not></message>", GOT).is_ok());
        assert!(check("<message type='{none}'/>", GOT).is_err());
        assert!(check("<message to='{none}'/>", GOT).is_ok());
        assert!(check("<message><only/><body>Hark</body></message>", GOT).is_err());
        let all = "<message id='m1' type='{any}' from='a@b/c'><only/><body/><x xmlns='u'/><x xmlns='u'/>\
            <delay xmlns='urn:xmpp:delay' stamp='{date}'/></message>";
        assert!(check(all, GOT).is_ok());
        assert!(check("<message><body><only/></body></message>", GOT).is_err());
    }

    #[test]
    fn dates() {
        assert!(is_date("2026-11-21T12:00:00Z"));
        assert!(is_date("2026-11-21T12:00:00.5Z"));
        assert!(!is_date("2026-11-21T12:00:00+01:00"));
        assert!(!is_date("20261121T12:00:00"));
    }
}
