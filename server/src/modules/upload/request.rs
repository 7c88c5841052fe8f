//! A slot's request (sections 4 and 4.1 of version 1.2).

use xmpp_core::date::parse_utc;
use xmpp_core::{Element, StanzaError, ns};

use super::SlotRequest;

pub fn read(request: &Element) -> Result<SlotRequest, StanzaError> {
    if request.name() != "request" {
        return Err(StanzaError::feature_not_implemented());
    }
    let bad = |text: &str| StanzaError::bad_request().with_text(text);
    let title = request.attribute("filename").ok_or_else(|| bad("A file has a filename"))?;
    let size = request.attribute("size").and_then(|size| size.parse().ok());
    Ok(SlotRequest {
        title: title.to_owned(),
        size: size.ok_or_else(|| bad("A file has a size, in bytes"))?,
        // An empty one says nothing; some clients send it.
        media_type: request.attribute("content-type").filter(|text| !text.is_empty()).map(str::to_owned),
        until: until(request)?,
    })
}

/// What it is for. Without a word it is a message's; a purpose with other promises than ours is refused.
fn until(request: &Element) -> Result<Option<u64>, StanzaError> {
    let mut purposes = request.elements().filter(|element| element.ns() == ns::UPLOAD_PURPOSE);
    let Some(purpose) = purposes.next() else { return Ok(None) };
    match purpose.name() {
        "message" => Ok(None),
        "ephemeral" => {
            let until = purpose.attribute("expire-before").and_then(parse_utc);
            let bad =
                || StanzaError::bad_request().with_text("An ephemeral file has a time to expire before");
            until.map(Some).ok_or_else(bad)
        }
        _ => Err(StanzaError::feature_not_implemented().with_text("Files are not kept for this purpose")),
    }
}
