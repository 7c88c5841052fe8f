//! What a client asks its archive for: a form (XEP-0313 section 4.1) and a page (XEP-0059).

use xmpp_core::{BareJid, Element, Jid, StanzaError, date, ns};

use crate::accounts::AccountInfo;
use crate::router::StanzaIds;
use crate::storage::MessageId;
use crate::storage::archive::{End, Filter, Peer};

#[derive(Debug, Default, PartialEq)]
pub struct Query {
    /// Given back with each result.
    pub queryid: Option<String>,
    pub filter: Filter,
    /// `with`, where it has a resource: then the index knows only a part of what is asked.
    pub with: Option<Jid>,
    /// What the ids in the query mean. One that is not in the archive is an error.
    pub named: Vec<MessageId>,
    pub page: Page,
    /// The page's results are to come the newest first.
    pub flipped: bool,
}

/// Which page of what matches.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    pub max: Option<usize>,
    pub after: Option<MessageId>,
    /// `Some(None)`: the last page.
    pub before: Option<Option<MessageId>>,
}

impl Page {
    /// From which end of what matches it is taken.
    pub fn end(&self) -> End {
        if self.before.is_some() { End::Newest } else { End::Oldest }
    }
}

/// Section 4.1.6: all that may be asked for.
pub fn form() -> Element {
    let field =
        |type_: &str, var: &str| Element::new("field", ns::DATA_FORMS).attr("type", type_).attr("var", var);
    let form_type = field("hidden", "FORM_TYPE").child(Element::new("value", ns::DATA_FORMS).text(ns::MAM));
    // The ids that may be given are too many to be listed.
    let open = Element::new("validate", ns::FORM_VALIDATION)
        .attr("datatype", "xs:string")
        .child(Element::new("open", ns::FORM_VALIDATION));
    let form = Element::new("x", ns::DATA_FORMS)
        .attr("type", "form")
        .child(form_type)
        .child(field("jid-single", "with"))
        .children(["start", "end", "before-id", "after-id"].map(|var| field("text-single", var)))
        .child(field("list-multi", "ids").child(open));
    Element::new("query", ns::MAM).child(form)
}

/// The words of a query, understood for one account's archive.
pub struct Reader<'a> {
    pub account: &'a AccountInfo,
    pub ids: &'a StanzaIds,
}

impl Reader<'_> {
    pub fn read(&self, query: &Element) -> Result<Query, StanzaError> {
        if query.attribute("node").is_some() {
            // Section 6.2: for archives of pubsub nodes, which an account has not.
            return Err(StanzaError::item_not_found());
        }
        let mut read = Query {
            queryid: query.attribute("queryid").map(str::to_owned),
            flipped: query.find("flip-page", ns::MAM).is_some(),
            ..Query::default()
        };
        if let Some(form) = query.find("x", ns::DATA_FORMS) {
            self.read_form(form, &mut read)?;
        }
        if let Some(set) = query.find("set", ns::RSM) {
            self.read_page(set, &mut read)?;
        }
        Ok(read)
    }

    fn read_form(&self, form: &Element, query: &mut Query) -> Result<(), StanzaError> {
        let fields = || form.elements().filter(|element| element.is("field", ns::DATA_FORMS));
        let form_type = fields().find(|field| field.attribute("var") == Some("FORM_TYPE"));
        if form_type.is_none_or(|field| value(field).as_deref() != Some(ns::MAM)) {
            return Err(StanzaError::bad_request().with_text("the form's FORM_TYPE is urn:xmpp:mam:2"));
        }
        for field in fields() {
            let var = field.attribute("var").unwrap_or_default();
            let value = || value(field).ok_or_else(|| bad(var));
            match var {
                "FORM_TYPE" => {}
                "with" => self.read_with(&value()?, query)?,
                "start" => query.filter.start = Some(date::parse_utc(&value()?).ok_or_else(|| bad(var))?),
                "end" => query.filter.end = Some(date::parse_utc(&value()?).ok_or_else(|| bad(var))?),
                "after-id" => query.filter.after = Some(self.id(&value()?, query)?),
                "before-id" => query.filter.before = Some(self.id(&value()?, query)?),
                "ids" => self.read_ids(field, query)?,
                // Section 4.1.7.
                _ => {
                    let text = format!("the archive cannot be searched by {var:?}");
                    return Err(StanzaError::feature_not_implemented().with_text(text));
                }
            }
        }
        Ok(())
    }

    fn read_with(&self, with: &str, query: &mut Query) -> Result<(), StanzaError> {
        let with = Jid::parse(with.trim()).map_err(|_| StanzaError::jid_malformed())?;
        query.filter.with = Some(Peer::of(&with.bare()));
        query.with = with.is_full().then_some(with);
        Ok(())
    }

    fn read_ids(&self, field: &Element, query: &mut Query) -> Result<(), StanzaError> {
        let values = field.elements().filter(|element| element.is("value", ns::DATA_FORMS));
        let ids = values.map(|value| self.id(&value.content(), query)).collect::<Result<Vec<_>, _>>()?;
        if ids.len() > Filter::IDS {
            let text = format!("at most {} ids may be asked for at a time", Filter::IDS);
            return Err(StanzaError::not_acceptable().with_text(text));
        }
        query.filter.ids = Some(ids);
        Ok(())
    }

    /// XEP-0059. What is not a number of messages is refused; the index of a page is not supported.
    fn read_page(&self, set: &Element, query: &mut Query) -> Result<(), StanzaError> {
        let text = |name: &str| set.find(name, ns::RSM).map(|element| element.content().trim().to_owned());
        if text("index").is_some() {
            return Err(StanzaError::feature_not_implemented().with_text("pages have no index"));
        }
        if let Some(max) = text("max") {
            let max: u32 = max.parse().map_err(|_| bad("max"))?;
            query.page.max = Some(max as usize);
        }
        if let Some(after) = text("after").filter(|after| !after.is_empty()) {
            query.page.after = Some(self.id(&after, query)?);
        }
        if let Some(before) = text("before") {
            let before = if before.is_empty() { None } else { Some(self.id(&before, query)?) };
            query.page.before = Some(before);
        }
        Ok(())
    }

    /// Section 4.1.3: an id that is not the archive's is not there.
    fn id(&self, text: &str, query: &mut Query) -> Result<MessageId, StanzaError> {
        let id = self.ids.decode(self.account.number, text.trim()).ok_or_else(StanzaError::item_not_found)?;
        if !query.named.contains(&id) {
            query.named.push(id);
        }
        Ok(id)
    }
}

fn value(field: &Element) -> Option<String> {
    field.find("value", ns::DATA_FORMS).map(Element::content)
}

fn bad(what: &str) -> StanzaError {
    StanzaError::bad_request().with_text(format!("the value of {what} cannot be read"))
}

/// A message matches a full address when the address that is not the account's is that one (section 4.1.1).
pub fn is_with(with: &Jid, from: &Option<Jid>, to: &Option<Jid>, own: &BareJid) -> bool {
    let others = |jid: &&Jid| jid.bare() != *own || with.bare() == *own;
    [from, to].into_iter().flatten().filter(others).any(|jid| jid == with)
}

#[cfg(test)]
mod tests;
