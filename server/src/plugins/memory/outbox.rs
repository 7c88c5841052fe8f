//! The outbox, in memory.

use std::collections::BTreeMap;

use super::Memory;
use super::state::State;
use crate::storage::outbox::{AccountEvent, PackedRow, Packer};
use crate::storage::*;

#[derive(Default)]
pub struct Rows {
    rows: BTreeMap<Place, Row>,
    last: u64,
}

struct Row {
    first: MessageId,
    written: Millis,
    packed: PackedRow,
}

impl Rows {
    /// Gives rows and bytes.
    pub fn put(&mut self, first: MessageId, packer: Packer, written: Millis) -> (u64, u64) {
        let (mut rows, mut bytes) = (0, 0);
        for packed in packer.finish() {
            self.last += 1;
            rows += 1;
            bytes += packed.content.len() as u64;
            self.rows.insert(Place(self.last), Row { first, written, packed });
        }
        (rows, bytes)
    }

    pub fn confirm(&mut self, places: &[Place]) -> Deleted {
        let mut deleted = Deleted::default();
        for row in places.iter().filter_map(|place| self.rows.remove(place)) {
            deleted.rows += 1;
            deleted.events += u64::from(row.packed.events);
            deleted.bytes += row.packed.content.len() as u64;
        }
        deleted
    }

    pub fn discard(&mut self, bytes: u64, before: Millis, limit: u32) -> Deleted {
        let mut gone = 0;
        let mut old = Vec::new();
        for (place, row) in self.rows.iter().take(limit as usize) {
            if gone < bytes || row.written < before {
                old.push(*place);
            }
            gone += row.packed.content.len() as u64;
        }
        self.confirm(&old)
    }
}

impl State {
    /// Saves messages and tells of them.
    pub fn save_with_events(&mut self, drafts: Vec<Draft>, now: Millis) -> (Vec<MessageId>, (u64, u64)) {
        let mut packer = Packer::default();
        drafts.iter().zip(0..).for_each(|(draft, offset)| packer.message(offset, draft));
        let ids: Vec<MessageId> = drafts.into_iter().map(|draft| self.save(draft)).collect();
        let first = ids.first().copied().unwrap_or_default();
        let put = self.outbox.put(first, packer, now);
        (ids, put)
    }

    pub fn put_event(&mut self, event: &AccountEvent) -> (u64, u64) {
        let mut packer = Packer::default();
        packer.account(event);
        self.outbox.put(MessageId(0), packer, event.time)
    }
}

impl Outbox for Memory {
    fn outbox<'a>(&'a self, after: Place, bytes: u64, rows: u32) -> StoreFut<'a, Vec<OutboxRow>> {
        self.read(move |state| {
            let mut together = 0;
            let behind = state.outbox.rows.range(Place(after.0 + 1)..);
            let oldest = behind.take(rows as usize).take_while(|(_, row)| {
                let fits = together < bytes;
                together += row.packed.content.len() as u64;
                fits
            });
            let row = |(place, row): (&Place, &Row)| OutboxRow {
                place: *place,
                first: row.first,
                content: row.packed.content.clone().into(),
            };
            Ok(oldest.map(row).collect())
        })
    }

    fn outbox_size<'a>(&'a self) -> StoreFut<'a, OutboxSize> {
        self.read(|state| {
            let rows = &state.outbox.rows;
            let bytes = rows.values().map(|row| row.packed.content.len() as u64).sum();
            let oldest = rows.values().map(|row| row.written).min();
            Ok(OutboxSize { rows: rows.len() as u64, bytes, oldest })
        })
    }

    fn outbox_filled<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async {
            match &self.gate {
                Some(gate) => gate.filled().await,
                None => std::future::pending().await,
            }
        })
    }
}
