//! Answers as JSON, in the shape of MongooseIM's tool: `{"data":{CATEGORY:{COMMAND:RESULT}}}`, or
//! `{"errors":[{"message":...,"path":[CATEGORY,COMMAND],"extensions":{"code":...}}]}`.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::failure::Failure;
use crate::admin::Command;

/// A command's category and name.
pub struct Path {
    category: String,
    name: String,
}

impl Path {
    pub fn new(category: &str, name: &str) -> Path {
        Path { category: category.to_owned(), name: name.to_owned() }
    }

    fn open(&self) -> String {
        format!(r#"{{"data":{{"{}":{{"{}":"#, self.category, self.name)
    }
}

/// The names of a command are its keys in the request.
pub fn path(command: &Command) -> Path {
    fn key(value: &Value) -> Option<(&String, &Value)> {
        value.as_object()?.iter().next()
    }
    let value = serde_json::to_value(command).unwrap_or_default();
    let names = key(&value).and_then(|(category, inside)| Some((category, key(inside)?.0)));
    names.map_or_else(|| Path::new("", ""), |(category, name)| Path::new(category, name))
}

pub fn done(out: &mut impl Write, path: &Path, result: &Value) -> io::Result<()> {
    writeln!(out, "{}{result}}}}}}}", path.open())
}

/// The next of a list, of which `before` are printed.
pub fn item(out: &mut impl Write, path: &Path, before: u64, item: &Value) -> io::Result<()> {
    match before {
        0 => write!(out, "{}[{item}", path.open()),
        _ => write!(out, ",{item}"),
    }
}

pub fn end(out: &mut impl Write, path: &Path, items: u64) -> io::Result<()> {
    match items {
        0 => done(out, path, &json!([])),
        _ => writeln!(out, "]}}}}}}"),
    }
}

pub fn failure(out: &mut impl Write, path: &Path, failure: &Failure) -> io::Result<()> {
    match failure {
        // There is half a list before it.
        Failure::Interrupted(_) | Failure::Output(_) => writeln!(out),
        _ => {
            let error = json!({
                "message": failure.message(),
                "path": [path.category, path.name],
                "extensions": { "code": failure.word() },
            });
            writeln!(out, "{}", json!({ "errors": [error] }))
        }
    }
}

/// A command line that names no command, or not rightly.
pub fn usage(out: &mut impl Write, message: &str) -> io::Result<()> {
    let error = json!({ "message": message.trim_end(), "path": [], "extensions": { "code": "usage" } });
    writeln!(out, "{}", json!({ "errors": [error] }))
}
