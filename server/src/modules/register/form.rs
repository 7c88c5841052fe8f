//! Registration as a data form (XEP-0077 section 4, XEP-0004): the same two fields, for clients that
//! would rather show a form.

use xmpp_core::{Element, StanzaError, ns};

use super::Request;

/// The form to fill in. Its fields are named as XEP-0077 section 13.3 registers them.
pub fn empty(instructions: &str) -> Element {
    let required = |var: &str, type_: &str, label: &str| {
        let field = field(var, type_).attr("label", label);
        field.child(Element::new("required", ns::DATA_FORMS))
    };
    let form_type = Element::new("value", ns::DATA_FORMS).text(ns::REGISTER);
    Element::new("x", ns::DATA_FORMS)
        .attr("type", "form")
        .child(Element::new("title", ns::DATA_FORMS).text("A new account"))
        .child(Element::new("instructions", ns::DATA_FORMS).text(instructions))
        .child(field("FORM_TYPE", "hidden").child(form_type))
        .child(required("username", "text-single", "User name"))
        .child(required("password", "text-private", "Password"))
}

/// The form filled in: for a new account, or for a new password.
pub fn read(form: &Element) -> Result<Request, StanzaError> {
    if form.attribute("type") != Some("submit") {
        return Err(StanzaError::bad_request());
    }
    // XEP-0068: a form of another type has fields of other meanings.
    match value(form, "FORM_TYPE").as_deref() {
        None | Some(ns::REGISTER | "jabber:iq:register:changepassword") => {}
        Some(_) => return Err(StanzaError::not_acceptable()),
    }
    Ok(Request::account(value(form, "username"), value(form, "password")))
}

fn field(var: &str, type_: &str) -> Element {
    Element::new("field", ns::DATA_FORMS).attr("type", type_).attr("var", var)
}

fn value(form: &Element, var: &str) -> Option<String> {
    let mut fields = form.elements().filter(|element| element.is("field", ns::DATA_FORMS));
    let field = fields.find(|field| field.attribute("var") == Some(var))?;
    field.find("value", ns::DATA_FORMS).map(Element::content)
}
