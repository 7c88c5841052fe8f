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

    /// Members that were written before, for several objects.
    pub fn members(&mut self, members: &Members) -> &mut Object {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(&members.0);
        self
    }

    /// A text that was written before, for several objects.
    pub fn written(&mut self, name: &str, value: &Written) -> &mut Object {
        self.name(name);
        self.out.extend_from_slice(&value.0);
        self
    }

    /// What is in it, to be put into others; it is not empty.
    pub fn into_members(mut self) -> Members {
        self.out.remove(0);
        Members(self.out)
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

/// Members of an object, with their names.
pub struct Members(Vec<u8>);

/// A text in its quotation marks.
pub struct Written(Vec<u8>);

impl Written {
    pub fn new(value: &str) -> Written {
        let mut out = Vec::with_capacity(value.len() * 9 / 8 + 2);
        text(value, &mut out);
        Written(out)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// RFC 8259 section 7: quotation marks, reverse solidus and control characters are escaped, the rest of Unicode
/// stands as it is.
fn text(value: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = value.as_bytes();
    while let Some(at) = special(rest) {
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

/// Where the first byte is that cannot stand as it is. Most texts have none: they are looked through in blocks, of which
/// the compiler makes a few instructions each.
fn special(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_special = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let plain =
        blocks.iter().take_while(|block| !block.iter().fold(false, |found, byte| found | is_special(byte)));
    let skipped = plain.count() * BLOCK;
    let behind = text.get(skipped..)?;
    behind.iter().position(is_special).map(|at| skipped + at)
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
