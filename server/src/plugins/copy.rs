//! Copies everything from an SQLite file into a PostgreSQL database: what is read by one plugin is written
//! by the other, in pages, and at the end both are counted and summed up.

use crate::storage::{Draft, StoreError};

use super::postgres::import::Import;
use super::sqlite::export::Export;

/// Rows of a table, as JSON with binary values in hexadecimal.
pub struct Rows {
    pub table: &'static str,
    pub json: String,
}

/// Some accounts up to a number, with what they own.
pub struct Accounts {
    pub last: u64,
    pub rows: Vec<Rows>,
}

/// Some messages up to an id, each beside its own.
pub struct Messages {
    pub last: u64,
    pub ids: Vec<i64>,
    pub drafts: Vec<Draft>,
}

/// Some rows of the outbox up to a place.
pub struct Outgoing {
    pub last: u64,
    /// Place, first id, when it was written, events, content.
    pub rows: Vec<(i64, i64, String, i64, Vec<u8>)>,
}

/// A file of the cold archive, with who has what of it. The file itself stays where it is.
pub struct ColdRows {
    pub number: u64,
    pub rows: [Rows; 2],
}

/// What of a copy is done.
pub struct Progress {
    pub account: u64,
    pub shared: bool,
    pub message: u64,
}

/// A table in two numbers.
#[derive(Debug, PartialEq, Eq)]
pub struct Sum {
    pub table: &'static str,
    pub rows: i64,
    pub sum: i64,
}

/// Goes on with a copy that was cut off. `tell` hears how far it is, in thousandths. Gives what was copied, a
/// sentence for each table.
pub async fn copy(
    from: &super::sqlite::Options,
    to: &super::postgres::Options,
    tell: &mut dyn FnMut(u64),
) -> Result<Vec<String>, StoreError> {
    let source = std::path::absolute(&from.path).unwrap_or_else(|_| from.path.clone()).display().to_string();
    let mut export = Export::open(from).await?;
    let (mut import, mut progress) = Import::open(to, &source).await?;
    let last_account = export.last_account().await?;
    // Numbers and ids may have gaps; that they rise is enough for a bar.
    let done = |part: u64, all: u64| part.saturating_mul(500) / all.max(1);
    while let Some(page) = export.accounts(progress.account).await? {
        progress.account = page.last;
        import.accounts(page).await?;
        tell(done(progress.account, last_account));
    }
    if !progress.shared {
        import.shared(&export.shared().await?).await?;
    }
    while let Some(page) = export.messages(progress.message).await? {
        progress.message = page.last;
        import.messages(page).await?;
        tell(500 + done(progress.message, export.last_message));
    }
    // Rows that are there from an attempt before are passed over.
    let mut told = 0;
    while let Some(page) = export.outbox(told).await? {
        told = page.last;
        import.outbox(page).await?;
    }
    let mut filed = 0;
    while let Some(page) = export.cold(filed).await? {
        filed = page.number;
        import.cold(page).await?;
    }
    let copied = compare(&mut export, &mut import).await?;
    import.finish(last_account, export.last_message).await?;
    tell(1000);
    Ok(copied)
}

async fn compare(export: &mut Export, import: &mut Import) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::new();
    for (read, there) in export.sums().await?.into_iter().zip(import.sums().await?) {
        if read != there {
            return Err(StoreError::Damaged(format!(
                "the copy differs from what was copied: {read:?} is not {there:?}"
            )));
        }
        lines.push(format!("{:<15} {:>10} rows, sum {}", there.table, there.rows, there.sum));
    }
    let (read, there) = import.message_sums().await?;
    if read != there {
        return Err(StoreError::Damaged(format!(
            "the copy differs from what was copied: {read:?} messages, bytes and entries are {there:?}"
        )));
    }
    let [messages, bytes, entries] = there;
    lines.push(format!("{:<15} {messages:>10} rows, {bytes} bytes, {entries} entries", "message"));
    Ok(lines)
}
