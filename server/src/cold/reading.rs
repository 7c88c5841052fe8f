//! Pages out of cold files: of each file its index, and of its blocks those that may have what is asked for.

use std::sync::Arc;

use xmpp_core::{Stanza, ns};

use super::Cold;
use super::cache::Part;
use super::format::{Entry, Index};
use crate::storage::archive::{End, Filter, words};
use crate::storage::*;

/// Parts of the catalogue that are read at a time.
const PARTS: usize = 32;
/// What one question may unpack. Whoever looks for something rare in many years is told to name a time.
const LOOKED_AT_BYTES: usize = 64 << 20;
/// How often a question is asked anew whose file was written anew meanwhile.
const ATTEMPTS: usize = 4;

/// Why a question has no answer.
enum Stopped {
    /// The file is not there: perhaps it is elsewhere by now.
    Gone(String),
    Failed(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Failed(error)
    }
}

impl Cold {
    /// Up to `limit` entries of the owner's that match, from one end on, in the order of ids.
    pub(super) async fn page(
        &self,
        owner: AccountNumber,
        filter: &Filter,
        end: End,
        limit: usize,
    ) -> Result<Vec<Saved>, StoreError> {
        let mut attempt = 1;
        loop {
            let mut page = Vec::new();
            let mut take = |entry: &Entry| {
                page.push(Saved {
                    id: entry.id,
                    time: entry.time,
                    archived: true,
                    stanza: entry.stanza.clone(),
                });
                page.len() < limit
            };
            let asked = match limit {
                0 => Ok(()),
                _ => self.visit(owner, filter, end, &mut take).await,
            };
            match asked {
                Ok(()) if end == End::Oldest => return Ok(page),
                Ok(()) => {
                    page.reverse();
                    return Ok(page);
                }
                Err(Stopped::Gone(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(stopped) => return Err(stopped.error()),
            }
        }
    }

    /// How many match, to `at_most`.
    pub(super) async fn count(
        &self,
        owner: AccountNumber,
        filter: &Filter,
        at_most: u64,
    ) -> Result<u64, StoreError> {
        if *filter == Filter::default() {
            return self.count_all(owner, at_most).await;
        }
        let mut attempt = 1;
        loop {
            let mut count = 0;
            let mut take = |_: &Entry| {
                count += 1;
                count < at_most
            };
            match self.visit(owner, filter, End::Oldest, &mut take).await {
                Ok(()) => return Ok(count.min(at_most)),
                Err(Stopped::Gone(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(stopped) => return Err(stopped.error()),
            }
        }
    }

    /// The catalogue knows it.
    async fn count_all(&self, owner: AccountNumber, at_most: u64) -> Result<u64, StoreError> {
        let (mut after, mut count) = (MessageId(0), 0);
        while count < at_most {
            let ever = MessageId(u64::MAX);
            let parts = self.files()?.cold_parts(owner, after, ever, End::Oldest, PARTS).await?;
            let Some((_, last)) = parts.last() else { break };
            after = last.last;
            count += parts.iter().map(|(_, part)| part.entries).sum::<u64>();
        }
        Ok(count.min(at_most))
    }

    /// Shows what matches, until `take` has enough.
    async fn visit(
        &self,
        owner: AccountNumber,
        filter: &Filter,
        end: End,
        take: &mut (dyn FnMut(&Entry) -> bool + Send),
    ) -> Result<(), Stopped> {
        let ids = || filter.ids.iter().flatten();
        if filter.ids.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        let least = ids().min().map_or(0, |id| id.0.saturating_sub(1));
        let most = ids().max().map_or(u64::MAX, |id| id.0.saturating_add(1));
        let mut after = filter.after.map_or(0, |id| id.0).max(least);
        let mut before = filter.before.map_or(u64::MAX, |id| id.0).min(most);
        let mut looked_at = 0;
        loop {
            let (low, high) = (MessageId(after), MessageId(before));
            let parts = self.files()?.cold_parts(owner, low, high, end, PARTS).await?;
            let Some(furthest) = parts.last().map(|(_, part)| *part) else { return Ok(()) };
            for (file, part) in &parts {
                let first = MessageId(part.first.0.max(after.saturating_add(1)));
                let last = MessageId(part.last.0.min(before.saturating_sub(1)));
                let of = Of { owner, first, last, filter, end };
                if first <= last && !self.visit_part(file, &of, &mut looked_at, take).await? {
                    return Ok(());
                }
            }
            match end {
                End::Oldest => after = furthest.last.0,
                End::Newest => before = furthest.first.0,
            }
        }
    }

    /// False: there is enough.
    async fn visit_part(
        &self,
        file: &ColdFile,
        of: &Of<'_>,
        looked_at: &mut usize,
        take: &mut (dyn FnMut(&Entry) -> bool + Send),
    ) -> Result<bool, Stopped> {
        if !of.may_be_in(file.oldest, file.newest) {
            return Ok(true);
        }
        let index = self.index(file).await?;
        let blocks = index.blocks_of(of.owner, of.first, of.last).filter(|(_, block)| {
            of.may_be_in(block.oldest, block.newest) && of.filter.with.is_none_or(|peer| block.has_peer(peer))
        });
        let mut numbers: Vec<usize> = blocks.map(|(number, _)| number).collect();
        if of.end == End::Newest {
            numbers.reverse();
        }
        for number in numbers {
            let entries = self.block(file, &index, number).await?;
            *looked_at += entries.iter().map(|entry| entry.stanza.len() + ENTRY_BYTES).sum::<usize>();
            let is_enough = match of.end {
                End::Oldest => entries.iter().filter(|entry| of.matches(entry)).any(|entry| !take(entry)),
                End::Newest => {
                    entries.iter().rev().filter(|entry| of.matches(entry)).any(|entry| !take(entry))
                }
            };
            if is_enough {
                return Ok(false);
            }
            if *looked_at > LOOKED_AT_BYTES {
                let why =
                    "too many old messages were looked through for what is asked: ask for a shorter time";
                return Err(StoreError::Full(why.to_owned()).into());
            }
        }
        Ok(true)
    }

    async fn index(&self, file: &ColdFile) -> Result<Arc<Index>, Stopped> {
        if let Some(Part::Index(index)) = self.blocks.find(&file.place, None) {
            return Ok(index);
        }
        let bytes = self.fetch(&file.place, file.index_at, file.bytes).await?;
        let bytes = bytes.ok_or_else(|| Stopped::Gone(file.place.clone()))?;
        let index = Index::read(&bytes, file.index_at).map_err(|why| self.damaged(file, &why))?;
        let index = Arc::new(index);
        let size = index.blocks.len() * BLOCK_BYTES;
        self.blocks.put(&file.place, None, Part::Index(index.clone()), size);
        Ok(index)
    }

    async fn block(&self, file: &ColdFile, index: &Index, number: usize) -> Result<Arc<Vec<Entry>>, Stopped> {
        if let Some(Part::Block(entries)) = self.blocks.find(&file.place, Some(number)) {
            return Ok(entries);
        }
        let Some(block) = index.blocks.get(number) else { return Ok(Arc::default()) };
        let bytes = self.fetch(&file.place, block.at, block.at + block.length).await?;
        let bytes = bytes.ok_or_else(|| Stopped::Gone(file.place.clone()))?;
        let entries = Arc::new(block.read(&bytes).map_err(|why| self.damaged(file, &why))?);
        let size = entries.iter().map(|entry| entry.stanza.len() + ENTRY_BYTES).sum();
        self.blocks.put(&file.place, Some(number), Part::Block(entries.clone()), size);
        Ok(entries)
    }
}

/// What an entry takes in memory beside its stanza; and a block in an index, with some peers.
const ENTRY_BYTES: usize = 80;
const BLOCK_BYTES: usize = 256;

/// What is asked of one file.
struct Of<'a> {
    owner: AccountNumber,
    first: MessageId,
    last: MessageId,
    filter: &'a Filter,
    end: End,
}

impl Of<'_> {
    fn may_be_in(&self, oldest: Millis, newest: Millis) -> bool {
        self.filter.start.is_none_or(|start| newest >= start)
            && self.filter.end.is_none_or(|end| oldest <= end)
    }

    fn matches(&self, entry: &Entry) -> bool {
        let Filter { with, start, end, ids, sent, text, .. } = self.filter;
        entry.owner == self.owner
            && (self.first..=self.last).contains(&entry.id)
            && with.is_none_or(|peer| entry.peer == peer)
            && start.is_none_or(|start| entry.time >= start)
            && end.is_none_or(|end| entry.time <= end)
            && ids.as_ref().is_none_or(|ids| ids.contains(&entry.id))
            && (entry.sent || !sent)
            && text.as_ref().is_none_or(|text| says(&entry.stanza, text))
    }
}

/// Has a body all of the words? (`storage::archive::words`)
fn says(stanza: &[u8], text: &str) -> bool {
    let Ok(stanza) = Stanza::read(stanza) else { return false };
    let bodies = stanza.payload.children().filter(|child| child.name == "body" && child.ns == ns::CLIENT);
    let bodies: Vec<String> = bodies.map(|child| child.element().content()).collect();
    let said: Vec<String> = bodies.iter().flat_map(|body| words(body)).collect();
    words(text).next().is_some() && words(text).all(|word| said.contains(&word))
}

impl Stopped {
    fn error(self) -> StoreError {
        match self {
            Stopped::Gone(place) => StoreError::Unavailable(format!("the cold file {place} is not there")),
            Stopped::Failed(error) => error,
        }
    }
}
