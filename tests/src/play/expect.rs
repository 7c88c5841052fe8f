//! What an actor expects to hear.

use std::time::Duration;

use super::pattern::matches;
use super::perform::{Done, Performance, unexpected};
use super::step::Mode;
use super::words::Known;
use crate::actor::{SM, asks_for_acknowledgement, is_presence};
use crate::xml::{Heard, Node, STREAM};

/// Nothing that the server does takes longer, in paused time, unless a play says so.
const PATIENCE: Duration = Duration::from_secs(2);
/// Long enough for everything that has been said to reach its end.
const MOMENT: Duration = Duration::from_millis(1);

impl Performance {
    /// What comes next for him; `None` when nothing comes.
    pub(super) async fn next(&mut self, name: &str) -> Result<Option<Heard>, String> {
        self.next_within(name, PATIENCE).await
    }

    async fn next_within(&mut self, name: &str, within: Duration) -> Result<Option<Heard>, String> {
        loop {
            let heard = self.connection(name)?.next(within).await?;
            let Some(heard) = heard else { return Ok(None) };
            self.note(name, "<", &heard.to_string());
            let role = self.role(name)?;
            if let (Heard::Element(node), Some(managed)) = (&heard, &mut role.managed)
                && node.is_stanza()
            {
                managed.received += 1;
            }
            let passed_over = matches!(&heard, Heard::Element(n) if role.ignores_presence && is_presence(n));
            if !passed_over {
                return Ok(Some(heard));
            }
        }
    }

    /// As if it had not been heard.
    fn put_back(&mut self, name: &str, heard: Heard) -> Done {
        self.transcript.pop();
        if let (Heard::Element(node), Some(managed)) = (&heard, &mut self.role(name)?.managed)
            && node.is_stanza()
        {
            managed.received -= 1;
        }
        self.connection(name)?.put_back(heard);
        Ok(())
    }

    /// As `next`, without what a server with stream management may ask at any time.
    async fn next_but_requests(&mut self, name: &str) -> Result<Option<Heard>, String> {
        loop {
            match self.next(name).await? {
                Some(heard) if asks_for_acknowledgement(&heard) => {}
                other => return Ok(other),
            }
        }
    }

    /// The next element, which must be this one.
    pub(super) async fn element(&mut self, name: &str, wanted: &str, ns: &str) -> Result<Node, String> {
        match self.next_but_requests(name).await? {
            Some(Heard::Element(node)) if node.is(wanted, ns) => Ok(node),
            other => Err(unexpected(&format!("<{wanted} xmlns='{ns}'/>"), other.as_ref())),
        }
    }

    pub(super) async fn receive(&mut self, name: &str, patterns: &[Node], mode: Mode) -> Done {
        match mode {
            Mode::InOrder | Mode::Exactly => {
                for pattern in patterns {
                    self.receive_one(name, pattern, mode == Mode::Exactly).await?;
                }
                Ok(())
            }
            Mode::Times(times) => {
                for n in 1..=times {
                    self.known.insert("n".into(), n.to_string());
                    for pattern in patterns {
                        self.receive_one(name, pattern, false).await?;
                    }
                }
                Ok(())
            }
            Mode::MayBe => self.pass_over(name, patterns).await,
            Mode::InAnyOrder => self.receive_in_any_order(name, patterns).await,
            Mode::OneOf => {
                let heard = self.hear_element(name, patterns).await?;
                let mut known = self.known.clone();
                let found = patterns.iter().any(|p| matches(p, &heard, false, &mut known).is_ok());
                self.known = known;
                if found { Ok(()) } else { Err(differs(patterns, &heard, "it is none of them")) }
            }
        }
    }

    /// Takes what matches any of the patterns, up to the first that does not.
    async fn pass_over(&mut self, name: &str, patterns: &[Node]) -> Done {
        while let Some(heard) = self.next_but_requests(name).await? {
            let known = self.known.clone();
            let is_one =
                |node: &Node| patterns.iter().any(|p| matches(p, node, false, &mut known.clone()).is_ok());
            if !matches!(&heard, Heard::Element(node) if is_one(node)) {
                return self.put_back(name, heard);
            }
        }
        Ok(())
    }

    async fn receive_one(&mut self, name: &str, pattern: &Node, exact: bool) -> Done {
        let heard = self.hear_element(name, std::slice::from_ref(pattern)).await?;
        matches(pattern, &heard, exact, &mut self.known)
            .map_err(|reason| differs(std::slice::from_ref(pattern), &heard, &reason))
    }

    async fn receive_in_any_order(&mut self, name: &str, patterns: &[Node]) -> Done {
        let mut left: Vec<&Node> = patterns.iter().collect();
        while !left.is_empty() {
            let open: Vec<Node> = left.iter().map(|pattern| (*pattern).clone()).collect();
            let heard = self.hear_element(name, &open).await?;
            let mut learned: Option<(usize, Known)> = None;
            for (index, pattern) in left.iter().enumerate() {
                let mut known = self.known.clone();
                if matches(pattern, &heard, false, &mut known).is_ok() {
                    learned = Some((index, known));
                    break;
                }
            }
            let Some((index, known)) = learned else {
                let reason = match left.as_slice() {
                    [only] => matches(only, &heard, false, &mut self.known.clone()).err().unwrap_or_default(),
                    _ => "it is none of those that are left".to_owned(),
                };
                return Err(differs(&open, &heard, &reason));
            };
            left.remove(index);
            self.known = known;
        }
        Ok(())
    }

    /// The next element; an `<r/>` of stream management only where one is expected.
    async fn hear_element(&mut self, name: &str, patterns: &[Node]) -> Result<Node, String> {
        let heard = match patterns.iter().any(|pattern| pattern.is("r", SM)) {
            true => self.next(name).await?,
            false => self.next_but_requests(name).await?,
        };
        match heard {
            Some(Heard::Element(node)) => Ok(node),
            other => Err(unexpected(&list(patterns), other.as_ref())),
        }
    }

    pub(super) async fn receive_nothing(&mut self, name: &str) -> Done {
        match self.next_but_requests(name).await? {
            None => Ok(()),
            Some(heard) => Err(unexpected("nothing", Some(&heard))),
        }
    }

    pub(super) async fn receive_header(&mut self, name: &str, pattern: &Node) -> Done {
        self.connection(name)?;
        match self.next(name).await? {
            Some(Heard::Header(header)) => matches(pattern, &header, false, &mut self.known)
                .map_err(|reason| differs(std::slice::from_ref(pattern), &header, &reason)),
            other => Err(unexpected("the header of a stream", other.as_ref())),
        }
    }

    /// `<stream:error/>` with this condition, if one is named, then `</stream:stream>`, then the end.
    pub(super) async fn stream_ends(&mut self, name: &str, with: Option<&str>) -> Done {
        if let Some(condition) = with {
            let error = self.element(name, "error", STREAM).await?;
            const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
            let conditions = error.elements().filter(|c| c.ns == STREAMS && c.name != "text");
            let conditions: Vec<&str> = conditions.map(|c| c.name.as_str()).collect();
            if conditions != [condition] {
                return Err(format!("expected: the stream error {condition}\ngot:      {error}"));
            }
        }
        match self.next_but_requests(name).await? {
            Some(Heard::Close) => self.connection_ends(name).await,
            other => Err(unexpected("</stream:stream>", other.as_ref())),
        }
    }

    pub(super) async fn connection_ends(&mut self, name: &str) -> Done {
        match self.next_but_requests(name).await? {
            Some(Heard::End) => {
                self.role(name)?.connection = None;
                Ok(())
            }
            other => Err(unexpected("the end of the connection", other.as_ref())),
        }
    }

    pub(super) async fn until_the_end(&mut self, name: &str) -> Done {
        while let Some(heard) = self.next(name).await? {
            if heard == Heard::End {
                self.role(name)?.connection = None;
                return Ok(());
            }
        }
        Err("the server does not close the connection".into())
    }

    /// Takes the presence that has come; everything else stays where it is.
    pub(super) async fn pass_over_presence(&mut self, name: &str) -> Done {
        if self.role(name)?.connection.is_none() {
            return Ok(());
        }
        let mut kept = Vec::new();
        while let Some(heard) = self.connection(name)?.next(MOMENT).await? {
            let presence = matches!(&heard, Heard::Element(node) if is_presence(node));
            if !presence {
                kept.push(heard);
            } else if let Some(managed) = &mut self.role(name)?.managed {
                managed.received += 1;
            }
        }
        for heard in kept.into_iter().rev() {
            self.connection(name)?.put_back(heard);
        }
        Ok(())
    }

    /// The end of a play: nobody has heard anything that was not expected.
    pub(super) async fn nobody_heard_more(&mut self) -> Done {
        let names: Vec<String> = self.roles.keys().cloned().collect();
        for name in names {
            let role = self.role(&name)?;
            if role.connection.is_none() || role.disregards {
                continue;
            }
            if let Some(heard) = self.next_but_requests(&name).await? {
                return Err(format!("{name} has received what nobody expected:\n{heard}"));
            }
        }
        Ok(())
    }
}

fn list(patterns: &[Node]) -> String {
    let patterns: Vec<String> = patterns.iter().map(Node::to_string).collect();
    patterns.join("\n      or: ")
}

fn differs(patterns: &[Node], got: &Node, reason: &str) -> String {
    format!("expected: {}\ngot:      {got}\nbecause   {reason}", list(patterns))
}
