//! JSON, written by hand: an event is a flat object whose texts are copied, and there are many of them.

/// An object that is being written.
pub struct Object {
    out: Vec<u8>,
}

impl Object {
    /// Begins it, with room for so many bytes.
    pub fn new(room: usize) -> Object {
        let mut out = Vec::with_capacity(room);
        out.push(b'{');
        Object { out }
    }

    /// `name` needs no escapes; likewise below.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Object {
        self.name(name);
        text(value, &mut self.out);
        self
    }

    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) -> &mut Object {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub fn number(&mut self, name: &str, value: i64) -> &mut Object {
        self.raw(name, &value.to_string())
    }

    pub fn boolean(&mut self, name: &str, value: bool) -> &mut Object {
        self.raw(name, if value { "true" } else { "false" })
    }

    pub fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) -> &mut Object {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            text(value, &mut self.out);
        }
        self.out.push(b']');
        self
    }

    /// Texts by their names, which are any.
    pub fn map<'t>(&mut self, name: &str, values: impl Iterator<Item = (&'t str, &'t str)>) -> &mut Object {
        self.name(name);
        self.out.push(b'{');
        for (index, (key, value)) in values.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            text(key, &mut self.out);
            self.out.push(b':');
            text(value, &mut self.out);
        }
        self.out.push(b'}');
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn raw(&mut self, name: &str, value: &str) -> &mut Object {
        self.name(name);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    fn name(&mut self, name: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// RFC 8259 section 7: quotation marks, reverse solidus and control characters are escaped, the rest of Unicode
/// stands as it is.
fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = value.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_back() {
        let every: String = (0..0x300).filter_map(char::from_u32).collect();
        let emoji = "\u{1f339}\u{200d}\u{1f9d1}\u{2028}\u{2029}\u{feff}\u{10ffff}";
        for value in ["", "a", "\"", "\\", "\\\"", "</script>\n\t\r", "\u{0}\u{1f}\u{7f}", &every, emoji] {
            let mut object = Object::new(0);
            object.text("value", value).text_or_null("none", None).number("number", -7).boolean("yes", true);
            object.texts("list", [value, "", value].into_iter()).map("map", [(value, value)].into_iter());
            let json: serde_json::Value = serde_json::from_slice(&object.finish()).expect("JSON");
            assert_eq!(json["value"], value);
            assert_eq!((&json["none"], &json["number"]), (&serde_json::Value::Null, &serde_json::json!(-7)));
            assert_eq!(json["list"], serde_json::json!([value, "", value]));
            assert_eq!(
                (&json["map"][value], &json["yes"]),
                (&serde_json::json!(value), &serde_json::json!(true))
            );
        }
        assert_eq!(Object::new(0).finish(), b"{}");
    }
}
