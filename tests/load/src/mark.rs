//! What each message carries so that it can be accounted for: which flow it belongs to, its number there, and
//! when it was to be sent. Fixed-width hexadecimal, so that a template is copied and only digits are written
//! into it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

const BEGINNING: &[u8] = b"LOAD/";
const RUN_AT: usize = BEGINNING.len();
const FLOW_AT: usize = RUN_AT + 9;
const NUMBER_AT: usize = FLOW_AT + 9;
const TIME_AT: usize = NUMBER_AT + 17;
const MARK_BYTES: usize = TIME_AT + 16;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BEGINNING));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Tells the stanzas of this run from what an earlier one left behind.
    pub run: u32,
    pub flow: u32,
    pub number: u64,
    /// Nanoseconds since the run's epoch.
    pub sent_at: u64,
}

/// A stanza with a hole for the mark.
pub struct Template {
    bytes: Vec<u8>,
    mark_at: usize,
    /// Where the number stands once more, as the stanza's id.
    id_at: Option<usize>,
}

impl Template {
    /// A chat message of `size` bytes, or as near to it as its address allows.
    pub fn message(to: &str, run: u32, flow: u32, size: usize) -> Template {
        let head = format!("<message to='{to}' type='chat' id='{run:08x}-{flow:x}-");
        let id_at = head.len();
        let mut template = Template::new(format!("{head}{:016x}'><body>", 0), run, flow, Some(id_at));
        let tail = "</body></message>";
        let padding = size.saturating_sub(template.bytes.len() + tail.len());
        // Words and not one letter, in case somebody between compresses.
        let words = b"soft what light through yonder window breaks ";
        template.bytes.extend(words.iter().cycle().take(padding));
        template.bytes.extend_from_slice(tail.as_bytes());
        template
    }

    /// Presence whose status is the mark.
    pub fn presence(run: u32, flow: u32) -> Template {
        let mut template = Template::new("<presence><status>".into(), run, flow, None);
        template.bytes.extend_from_slice(b"</status></presence>");
        template
    }

    pub fn write(&self, number: u64, sent_at: u64, target: &mut Vec<u8>) {
        let begin = target.len();
        target.extend_from_slice(&self.bytes);
        let stanza = &mut target[begin..];
        write_hex(number, &mut stanza[self.mark_at + NUMBER_AT..][..16]);
        write_hex(sent_at, &mut stanza[self.mark_at + TIME_AT..][..16]);
        if let Some(id_at) = self.id_at {
            write_hex(number, &mut stanza[id_at..][..16]);
        }
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn new(head: String, run: u32, flow: u32, id_at: Option<usize>) -> Template {
        let mark_at = head.len();
        let mark = format!("LOAD/{run:08x}/{flow:08x}/{:016x}/{:016x} ", 0, 0);
        Template { bytes: (head + &mark).into_bytes(), mark_at, id_at }
    }
}

/// The mark in a stanza, if it carries one.
pub fn find(stanza: &[u8]) -> Option<Mark> {
    let begin = FINDER.find(stanza)?;
    let mark = stanza.get(begin..begin + MARK_BYTES)?;
    Some(Mark {
        run: u32::try_from(read_hex(&mark[RUN_AT..][..8])?).ok()?,
        flow: u32::try_from(read_hex(&mark[FLOW_AT..][..8])?).ok()?,
        number: read_hex(&mark[NUMBER_AT..][..16])?,
        sent_at: read_hex(&mark[TIME_AT..][..16])?,
    })
}

fn write_hex(value: u64, digits: &mut [u8]) {
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let template = Template::message("juliet@localhost", 0xbeef, 7, 300);
        let mut bytes = b"before".to_vec();
        template.write(0x0123_4567_89ab_cdef, u64::MAX, &mut bytes);
        assert_eq!(bytes.len() - 6, 300);
        let expected = Mark { run: 0xbeef, flow: 7, number: 0x0123_4567_89ab_cdef, sent_at: u64::MAX };
        assert_eq!(find(&bytes), Some(expected));
        assert!(String::from_utf8(bytes).unwrap().contains("id='0000beef-7-0123456789abcdef'"));
    }

    #[test]
    fn other_stanzas_have_no_mark() {
        assert_eq!(find(b"<message><body>LOAD/ is what I carry</body></message>"), None);
        assert_eq!(find(b"<presence/>"), None);
    }
}
