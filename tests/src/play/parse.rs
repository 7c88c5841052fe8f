//! Reads the text of a play.
//!
//! ```text
//! # What it proves, in a sentence, and where that is written.
//! cast: romeo/orchard, nurse = juliet/chamber, stranger = nobody
//! config:
//!     limits.sessions_per_account = 2
//!
//! romeo connects
//! romeo sends
//!     <message .../>
//! ```

use super::step::{Act, Block, Step, step};
use super::{Failure, Line, Part, Play};

/// A comment of each play names one of these: what is not written anywhere cannot be proven.
const SOURCES: &[&str] = &["RFC ", "XEP-", "messages.md", "operations.md"];

pub fn parse(text: &str, file: &str) -> Result<Play, Failure> {
    let fail = |line: usize, text: &str, reason: String| Failure {
        file: file.to_owned(),
        line,
        text: text.to_owned(),
        reason,
        ..Failure::default()
    };
    let mut play =
        Play { file: file.to_owned(), cast: Vec::new(), config: (0, String::new()), lines: Vec::new() };
    let mut sourced = false;
    for paragraph in paragraphs(text).map_err(|(line, reason)| fail(line, "", reason))? {
        let Paragraph { number, line, block } = paragraph;
        if let Some(comment) = line.strip_prefix('#') {
            sourced |= SOURCES.iter().any(|source| comment.contains(source));
            continue;
        }
        read(&mut play, number, line, block).map_err(|reason| fail(number, line, reason))?;
    }
    if !sourced {
        return Err(fail(1, "", "no comment says which section of an RFC or XEP it proves".into()));
    }
    if !play.lines.iter().any(|line| can_fail(&line.step)) {
        return Err(fail(1, "", "nobody expects anything: it cannot fail".into()));
    }
    Ok(play)
}

fn read(play: &mut Play, number: usize, line: &str, block: Option<Block>) -> Result<(), String> {
    if let Some(cast) = line.strip_prefix("cast:") {
        play.cast = cast.split(',').map(|part| self::part(part.trim())).collect::<Result<_, _>>()?;
        return match block {
            Some(_) => Err("the cast stands on one line".into()),
            None => Ok(()),
        };
    }
    if line == "config:" {
        let block = block.ok_or("indented TOML must follow")?;
        play.config = (block.line, block.text);
        return Ok(());
    }
    let step = step(line, block)?;
    for name in names(&step) {
        if !play.cast.iter().any(|part| part.name == *name) {
            return Err(format!("`{name}` is not in the cast"));
        }
    }
    play.lines.push(Line { number, text: line.to_owned(), step });
    Ok(())
}

fn names(step: &Step) -> Vec<&String> {
    match step {
        Step::Act { who, .. } | Step::Friends(who) => who.iter().collect(),
        Step::Know { owner, contact, .. } => vec![owner, contact],
        Step::Time(_) | Step::Store(_) | Step::Server(_) => Vec::new(),
    }
}

fn can_fail(step: &Step) -> bool {
    use super::step::OnStore;
    match step {
        Step::Act { act, .. } => matches!(
            act,
            Act::Receive { .. }
                | Act::ReceiveNothing
                | Act::ReceiveHeader { .. }
                | Act::Resume { .. }
                | Act::StreamEnds { .. }
                | Act::ConnectionEnds
                | Act::BeDisconnected
        ),
        Step::Store(OnStore::Holds(_)) => true,
        _ => false,
    }
}

/// `romeo/orchard`, `nurse = juliet@localhost/chamber`, `stranger = nobody`.
fn part(text: &str) -> Result<Part, String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (Some(name.trim()), address.trim()),
        None => (None, text),
    };
    if address == "nobody" {
        let name = name.ok_or("nobody needs a name: `stranger = nobody`")?;
        return Ok(Part { name: name.to_owned(), account: None, resource: None });
    }
    let (bare, resource) = match address.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource.to_owned())),
        None => (address, None),
    };
    let (local, domain) = bare.split_once('@').unwrap_or((bare, "localhost"));
    let name = name.unwrap_or(local);
    if name.is_empty() || local.is_empty() || name.contains(' ') {
        return Err(format!("`{text}` is no part: write `romeo/orchard` or `nurse = juliet/chamber`"));
    }
    Ok(Part { name: name.to_owned(), account: Some(format!("{local}@{domain}")), resource })
}

/// A line at the margin, and the indented ones below it.
struct Paragraph<'a> {
    number: usize,
    line: &'a str,
    block: Option<Block>,
}

fn paragraphs(text: &str) -> Result<Vec<Paragraph<'_>>, (usize, String)> {
    let mut paragraphs: Vec<Paragraph<'_>> = Vec::new();
    let mut indented: Vec<(usize, &str)> = Vec::new();
    let close = |paragraphs: &mut Vec<Paragraph<'_>>, indented: &mut Vec<(usize, &str)>| {
        let block = block(std::mem::take(indented));
        match (paragraphs.last_mut(), block) {
            (Some(last), block) if !last.line.starts_with('#') => last.block = block,
            (_, Some(block)) => return Err((block.line, "indented text belongs below a line".to_owned())),
            (_, None) => {}
        }
        Ok(())
    };
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with([' ', '\t']) {
            indented.push((index + 1, line));
            continue;
        }
        close(&mut paragraphs, &mut indented)?;
        paragraphs.push(Paragraph { number: index + 1, line: line.trim_end(), block: None });
    }
    close(&mut paragraphs, &mut indented)?;
    Ok(paragraphs)
}

fn block(mut lines: Vec<(usize, &str)>) -> Option<Block> {
    while lines.last().is_some_and(|(_, line)| line.trim().is_empty()) {
        lines.pop();
    }
    let written = || lines.iter().filter(|(_, line)| !line.trim().is_empty());
    let first = written().next()?.0;
    let margin = written().map(|(_, line)| line.len() - line.trim_start().len()).min()?;
    let text = lines.iter().skip_while(|(number, _)| *number < first);
    let text: Vec<&str> = text.map(|(_, line)| line.get(margin..).unwrap_or_default()).collect();
    Some(Block { line: first, text: text.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# It is so. RFC 6121 section 1\ncast: romeo/orchard, nurse = juliet/chamber\n";

    fn error(body: &str) -> (usize, String) {
        let failure = parse(&format!("{HEAD}{body}"), "a.play").expect_err("an error");
        (failure.line, failure.reason)
    }

    #[test]
    fn a_play_is_read() {
        let body = "romeo and nurse connect\n\nromeo sends:\n    <message>\n      <body/>\n\n    </message>\n\n\
                    nurse receives nothing\n";
        let play = parse(&format!("{HEAD}{body}"), "a.play").expect("a play");
        assert_eq!(play.cast[1].account.as_deref(), Some("juliet@localhost"));
        assert_eq!(play.lines.len(), 3);
        let Step::Act { who, act: Act::Send { block, .. } } = &play.lines[1].step else { panic!() };
        assert_eq!((who.len(), block.line), (1, 6));
        assert_eq!(block.text, "<message>\n  <body/>\n\n</message>");
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(
            error("tybalt connects\nromeo receives nothing\n"),
            (3, "`tybalt` is not in the cast".into())
        );
        assert_eq!(error("romeo sends\n"), (3, "indented text must follow".into()));
        assert_eq!(error("romeo dances\n").1.split(':').next(), Some("nobody knows how to `dances`"));
        assert_eq!(error("romeo connects\n    <x/>\n").1, "nothing is done with the indented text of line 4");
        assert_eq!(error("time passes: soon\n").1, "`soon` is no time: write 300ms, 30s, 10min or 2h");
        assert!(error("romeo receives\n    <a><b></a>\n").1.starts_with("line 4: "));
        assert_eq!(error("romeo connects\n").1, "nobody expects anything: it cannot fail");
        let unsourced = parse("cast: romeo\nromeo receives nothing\n", "a.play").expect_err("an error");
        assert!(unsourced.reason.contains("which section"));
    }
}
