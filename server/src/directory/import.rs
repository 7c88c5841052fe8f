//! Many accounts at once, from CSV (RFC 4180): a row is `jid,password` or `user,domain,password`.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use xmpp_core::BareJid;

use super::{Directory, DirectoryError};

/// Rows that are worked on at one time, so that every thread of the hashing pool has something to do.
const AT_ONCE: usize = 32;

/// What became of an import. Every row was tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub created: usize,
    /// In the order of their lines.
    pub refused: Vec<Refused>,
}

/// A row that made no account.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where the row begins, counted from 1.
    pub line: usize,
    pub why: RowError,
}

#[derive(Debug, PartialEq, Eq)]
pub enum RowError {
    /// It has another number of fields than two or three.
    Fields(usize),
    /// A quote that does not end, or text behind one.
    Quotes,
    Account(DirectoryError),
}

impl Directory {
    pub async fn import(self: &Arc<Self>, csv: &str) -> Imported {
        self.import_part(csv, 1).await
    }

    /// Imports a part of a file, one of [`parts`], that begins at this line.
    pub async fn import_part(self: &Arc<Self>, csv: &str, first_line: usize) -> Imported {
        let mut imported = Imported::default();
        let mut under_way = JoinSet::new();
        for Row { line, fields } in Rows::new(csv, first_line) {
            if under_way.len() >= AT_ONCE {
                imported.note(under_way.join_next().await);
            }
            let this = self.clone();
            under_way.spawn(async move {
                let done = this.import_row(fields).await;
                Tried { line, done }
            });
        }
        while !under_way.is_empty() {
            imported.note(under_way.join_next().await);
        }
        imported.refused.sort_by_key(|refused| refused.line);
        imported
    }

    async fn import_row(&self, fields: Result<Vec<String>, RowError>) -> Result<(), RowError> {
        let fields = fields?;
        let (jid, password) = match fields.as_slice() {
            [jid, password] => {
                let no_address = |_| DirectoryError::NoAddress(jid.clone());
                (BareJid::parse(jid.trim()).map_err(no_address).map_err(RowError::Account)?, password)
            }
            [user, domain, password] => {
                (self.address(user.trim(), domain.trim()).map_err(RowError::Account)?, password)
            }
            other => return Err(RowError::Fields(other.len())),
        };
        self.create(&jid, password).await.map_err(RowError::Account)
    }
}

impl Imported {
    /// Nobody aborts a row's task, and none panics.
    fn note(&mut self, tried: Option<Result<Tried, JoinError>>) {
        let Some(Ok(Tried { line, done })) = tried else { return };
        match done {
            Ok(()) => self.created += 1,
            Err(why) => self.refused.push(Refused { line, why }),
        }
    }
}

/// Cuts a file between rows into parts of at most so many bytes, each with the line where it begins, so
/// that an import can be sent and watched part by part. A row that is longer is a part of its own.
pub fn parts(csv: &str, bytes: usize) -> impl Iterator<Item = (usize, &str)> {
    let mut left = Rows::new(csv, 1);
    std::iter::from_fn(move || {
        let Rows { rest, line } = left;
        let mut taken = 0;
        loop {
            let before = left;
            left.next();
            let longer = rest.len() - left.rest.len();
            if longer == taken {
                break;
            }
            if longer > bytes && taken > 0 {
                left = before;
                break;
            }
            taken = longer;
        }
        (taken > 0).then(|| (line, &rest[..taken]))
    })
}

/// A row that was tried.
struct Tried {
    line: usize,
    done: Result<(), RowError>,
}

/// One row, and where it begins.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    line: usize,
    fields: Result<Vec<String>, RowError>,
}

/// Splits text into rows. Empty lines are passed over, and a first line that only names the fields.
#[derive(Clone, Copy)]
struct Rows<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Rows<'t> {
    fn new(text: &'t str, first_line: usize) -> Rows<'t> {
        Rows { rest: text.trim_start_matches('\u{feff}'), line: first_line }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        while !self.rest.is_empty() {
            let line = self.line;
            let (fields, behind) = match take_row(self.rest) {
                Ok((fields, behind)) => (Ok(fields), behind),
                // Whatever went wrong, the next line gets its chance.
                Err(error) => (Err(error), self.rest.split_once('\n').map_or("", |(_, behind)| behind)),
            };
            let taken = &self.rest[..self.rest.len() - behind.len()];
            self.line += taken.matches('\n').count();
            self.rest = behind;
            let is_header = line == 1 && fields.as_ref().is_ok_and(|fields| names_fields(fields));
            if !taken.trim().is_empty() && !is_header {
                return Some(Row { line, fields });
            }
        }
        None
    }
}

fn names_fields(fields: &[String]) -> bool {
    let names: Vec<&str> = fields.iter().map(|field| field.trim()).collect();
    matches!(names.as_slice(), ["jid", "password"] | ["user", "domain", "password"])
}

/// The fields of the first row, and what is behind its line break.
fn take_row(text: &str) -> Result<(Vec<String>, &str), RowError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, behind) = take_field(rest)?;
        fields.push(field);
        let line_end = behind.strip_prefix("\r\n").or_else(|| behind.strip_prefix('\n'));
        match (behind.strip_prefix(','), line_end) {
            (Some(behind), _) => rest = behind,
            (None, Some(behind)) => return Ok((fields, behind)),
            (None, None) if behind.is_empty() => return Ok((fields, behind)),
            (None, None) => return Err(RowError::Quotes),
        }
    }
}

/// One field, and what is behind it, from its comma or line break on.
fn take_field(text: &str) -> Result<(String, &str), RowError> {
    let Some(mut quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let end = if text[..end].ends_with('\r') { end - 1 } else { end };
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut field = String::new();
    loop {
        let (part, behind) = quoted.split_once('"').ok_or(RowError::Quotes)?;
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                quoted = more;
            }
            None => return Ok((field, behind)),
        }
    }
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowError::Fields(count) => {
                write!(f, "a row is jid,password or user,domain,password; this one has {count} fields")
            }
            RowError::Quotes => f.write_str("a quoted field ends with a quote, behind which a comma follows"),
            RowError::Account(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(usize, Result<Vec<String>, RowError>)> {
        Rows::new(text, 1).map(|row| (row.line, row.fields)).collect()
    }

    fn fields<const N: usize>(fields: [&str; N]) -> Result<Vec<String>, RowError> {
        Ok(fields.map(str::to_owned).to_vec())
    }

    #[test]
    fn both_kinds_of_rows() {
        let text = "romeo@localhost,wherefore\r\njuliet,localhost,art thou";
        let expected = vec![
            (1, fields(["romeo@localhost", "wherefore"])),
            (2, fields(["juliet", "localhost", "art thou"])),
        ];
        assert_eq!(rows(text), expected);
    }

    #[test]
    fn a_header_and_empty_lines_are_no_rows() {
        assert_eq!(rows("\u{feff}user,domain,password\n\n  \na@b,c\n"), [(4, fields(["a@b", "c"]))]);
        assert_eq!(rows("a@b,c\njid,password\n").len(), 2);
        assert_eq!(rows(""), []);
    }

    #[test]
    fn quotes_hide_commas_line_breaks_and_quotes() {
        let text = "a@b,\"1,\"\"2\"\"\n3\"\nc@d,e\"f";
        assert_eq!(rows(text), [(1, fields(["a@b", "1,\"2\"\n3"])), (3, fields(["c@d", "e\"f"]))]);
    }

    #[test]
    fn a_bad_quote_costs_its_line_alone() {
        let text = "a@b,\"open\nc@d,e\nf@g,\"h\"i\nj@k,l";
        let expected = vec![
            (1, Err(RowError::Quotes)),
            (2, fields(["c@d", "e"])),
            (3, Err(RowError::Quotes)),
            (4, fields(["j@k", "l"])),
        ];
        assert_eq!(rows(text), expected);
    }

    #[test]
    fn parts_are_cut_between_rows() {
        let text = "jid,password\na@b,\"1\n2\"\nc@d,e\"f\ng@h,\"open\ni@j,k";
        let cut: Vec<(usize, &str)> = parts(text, 32).collect();
        let expected = [(1, "jid,password\na@b,\"1\n2\"\nc@d,e\"f\n"), (5, "g@h,\"open\ni@j,k")];
        assert_eq!(cut, expected);
        for bytes in 1..text.len() + 1 {
            let cut: Vec<(usize, &str)> = parts(text, bytes).collect();
            assert_eq!(cut.iter().map(|(_, part)| *part).collect::<String>(), text);
            let lines = cut.iter().flat_map(|(line, part)| Rows::new(part, *line).map(|row| row.line));
            assert_eq!(lines.collect::<Vec<_>>(), [2, 4, 5, 6]);
        }
    }
}
