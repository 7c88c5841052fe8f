//! The log on a disk, in one redb file. One thread writes: whatever was asked for while the last
//! transaction was on its way to the disk goes there with the next.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::codec::{put_entry, put_log_id, put_vote, read_entry, read_log_id, read_vote};
use super::log_memory::{READ_MAX_BYTES, weight};
use super::{Entry, LogId, Types, Vote};
use crate::wire::{Malformed, Reader};

const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");
/// Jobs that may wait for the disk, and that go there together.
const JOBS_MAX: usize = 1024;
/// The newest entries stay in memory, for the followers that are nearly there.
const TAIL_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Why a log cannot be opened. It names the file.
#[derive(Debug)]
pub struct LogError {
    pub path: PathBuf,
    pub reason: String,
}

#[derive(Clone)]
pub struct RedbLog {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    database: Arc<Database>,
    memory: Arc<Mutex<Memory>>,
    /// Taken when the log is closed: the writer ends when it has written everything.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Memory {
    /// The newest entries; those that are not on the disk are among them.
    tail: std::collections::BTreeMap<u64, Entry>,
    tail_bytes: usize,
    /// Entries up to this one are on the disk.
    flushed: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

enum Job {
    Append(Vec<(u64, Vec<u8>)>, IOFlushed<Types>),
    /// Forgets entries from there on.
    Truncate(u64, Done),
    /// Forgets entries up to that one, which is remembered.
    Purge(u64, Vec<u8>, Done),
    Mark(&'static str, Vec<u8>, Option<Done>),
}

type Done = oneshot::Sender<io::Result<()>>;

impl RedbLog {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<RedbLog, LogError> {
        let fail = |reason: String| LogError { path: path.to_owned(), reason };
        let database = Database::create(path).map_err(|error| fail(error.to_string()))?;
        let memory = read_state(&database).map_err(|error| fail(error.to_string()))?;
        let (database, memory) = (Arc::new(database), Arc::new(Mutex::new(memory)));
        let (jobs, asked) = mpsc::channel(JOBS_MAX);
        let (file, kept, named) = (database.clone(), memory.clone(), path.to_owned());
        let writer = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || write_all(&file, &kept, &named, asked))
            .map_err(|error| fail(error.to_string()))?;
        let (jobs, writer) = (Mutex::new(Some(jobs)), Mutex::new(Some(writer)));
        Ok(RedbLog { shared: Arc::new(Shared { path: path.to_owned(), database, memory, jobs, writer }) })
    }

    async fn ask(&self, job: Job) -> io::Result<()> {
        let jobs = self.shared.jobs.lock().clone().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }

    async fn ask_and_wait(&self, job: impl FnOnce(Done) -> Job) -> io::Result<()> {
        let (done, is_done) = oneshot::channel();
        self.ask(job(done)).await?;
        is_done.await.map_err(|_| closed())?
    }

    /// From the disk, for a follower that is far behind or a start.
    fn read_disk(&self, from: u64, to: u64, most_bytes: usize, into: &mut Vec<Entry>) -> io::Result<()> {
        let mut read = || -> Result<(), redb::Error> {
            let entries = self.shared.database.begin_read()?.open_table(ENTRIES)?;
            let mut bytes = 0;
            for found in entries.range(from..to)? {
                let value = found?.1;
                bytes += value.value().len();
                if bytes > most_bytes && !into.is_empty() {
                    break;
                }
                into.push(decode(value.value(), read_entry)?);
            }
            Ok(())
        };
        read().map_err(|error| super::snapshots::at(&self.shared.path, error))
    }

    fn read(&self, from: u64, to: u64, most_bytes: usize) -> io::Result<Vec<Entry>> {
        let (mut found, tail_from) = {
            let memory = self.shared.memory.lock();
            let mut bytes = 0;
            let within = |entry: &&Entry| {
                bytes += weight(entry);
                bytes <= most_bytes || entry.log_id.index == from
            };
            let in_tail = memory.tail.range(from..to.max(from)).map(|(_, entry)| entry);
            let found: Vec<Entry> = in_tail.take_while(within).cloned().collect();
            (found, memory.tail.keys().next().copied().unwrap_or(u64::MAX))
        };
        if from < tail_from {
            let mut older = Vec::new();
            self.read_disk(from, to.min(tail_from), most_bytes, &mut older)?;
            // What is limited goes on with the next read; nothing on the disk: the log begins in memory.
            if older.is_empty() || most_bytes == usize::MAX {
                older.append(&mut found);
            }
            return Ok(older);
        }
        Ok(found)
    }
}

impl RaftLogReader<Types> for RedbLog {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_MAX_BYTES)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.memory.lock().vote)
    }
}

impl RaftLogStorage<Types> for RedbLog {
    type LogReader = RedbLog;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let memory = self.shared.memory.lock();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last.or(memory.purged) })
    }

    async fn get_log_reader(&mut self) -> RedbLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut bytes = Vec::new();
        put_vote(&mut bytes, vote);
        self.ask_and_wait(|done| Job::Mark("vote", bytes, Some(done))).await?;
        self.shared.memory.lock().vote = Some(*vote);
        Ok(())
    }

    /// It goes to the disk with whatever is next: an older one costs a start some repeated work.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        self.shared.memory.lock().committed = Some(committed);
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.shared.memory.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = {
            let mut memory = self.shared.memory.lock();
            let mut encoded = Vec::new();
            for entry in entries {
                let mut bytes = Vec::with_capacity(weight(&entry));
                put_entry(&mut bytes, &entry);
                encoded.push((entry.log_id.index, bytes));
                memory.last = Some(entry.log_id);
                memory.tail_bytes += weight(&entry);
                memory.tail.insert(entry.log_id.index, entry);
            }
            memory.forget_old();
            encoded
        };
        self.ask(Job::Append(encoded, callback)).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.ask_and_wait(|done| Job::Truncate(from, done)).await?;
        let mut memory = self.shared.memory.lock();
        let gone = memory.tail.split_off(&from);
        memory.tail_bytes -= gone.values().map(weight).sum::<usize>();
        memory.flushed = memory.flushed.min(from.saturating_sub(1));
        memory.last = memory.last.min(last);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut mark = Vec::new();
        put_log_id(&mut mark, upto);
        {
            let mut memory = self.shared.memory.lock();
            let kept = memory.tail.split_off(&(upto.index + 1));
            let gone = std::mem::replace(&mut memory.tail, kept);
            memory.tail_bytes -= gone.values().map(weight).sum::<usize>();
            memory.purged = Some(upto);
            memory.last = memory.last.max(Some(upto));
        }
        self.ask_and_wait(|done| Job::Purge(upto.index, mark, done)).await
    }
}

impl Memory {
    fn forget_old(&mut self) {
        while self.tail_bytes > TAIL_MAX_BYTES
            && let Some(oldest) = self.tail.first_entry()
            && *oldest.key() <= self.flushed
        {
            self.tail_bytes -= weight(&oldest.remove());
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        drop(self.jobs.lock().take());
        // The file is free for the next one when this returns.
        if let Some(writer) = self.writer.lock().take() {
            let _ = writer.join();
        }
    }
}

fn read_state(database: &Database) -> Result<Memory, redb::Error> {
    let transaction = database.begin_write()?;
    let mut memory = Memory::default();
    {
        let marks = transaction.open_table(MARKS)?;
        if let Some(vote) = marks.get("vote")? {
            memory.vote = Some(decode(vote.value(), read_vote)?);
        }
        if let Some(committed) = marks.get("committed")? {
            memory.committed = Some(decode(committed.value(), read_log_id)?);
        }
        if let Some(purged) = marks.get("purged")? {
            memory.purged = Some(decode(purged.value(), read_log_id)?);
        }
        let entries = transaction.open_table(ENTRIES)?;
        if let Some((index, last)) = entries.last()? {
            memory.flushed = index.value();
            memory.last = Some(decode(last.value(), read_entry)?.log_id);
        }
    }
    transaction.commit()?;
    Ok(memory)
}

fn decode<T>(bytes: &[u8], read: fn(&mut Reader) -> Result<T, Malformed>) -> Result<T, redb::Error> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    read(&mut reader).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

/// The writer: awaits one job, drains the rest, and writes them in one transaction.
fn write_all(database: &Database, memory: &Mutex<Memory>, path: &Path, mut asked: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while asked.blocking_recv().map(|job| jobs.push(job)).is_some() {
        while jobs.len() < JOBS_MAX
            && let Ok(job) = asked.try_recv()
        {
            jobs.push(job);
        }
        let committed = memory.lock().committed;
        let result =
            write(database, &jobs, committed).map_err(|error| format!("{}: {error}", path.display()));
        if let Err(error) = &result {
            tracing::error!(%error, "the log of the cluster cannot be written");
        }
        for job in jobs.drain(..) {
            if let (Job::Append(entries, _), Ok(())) = (&job, &result)
                && let Some((last, _)) = entries.last()
            {
                let mut memory = memory.lock();
                memory.flushed = *last;
                memory.forget_old();
            }
            let result = result.clone().map_err(io::Error::other);
            match job {
                Job::Append(_, callback) => callback.io_completed(result),
                Job::Truncate(_, done) | Job::Purge(_, _, done) | Job::Mark(_, _, Some(done)) => {
                    // Who asked may have been stopped.
                    let _ = done.send(result);
                }
                Job::Mark(_, _, None) => {}
            }
        }
    }
}

fn write(database: &Database, jobs: &[Job], committed: Option<LogId>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut marks = transaction.open_table(MARKS)?;
        for job in jobs {
            match job {
                Job::Append(new, _) => {
                    for (index, bytes) in new {
                        entries.insert(index, bytes.as_slice())?;
                    }
                }
                Job::Truncate(from, _) => entries.retain_in(*from.., |_, _| false)?,
                Job::Purge(upto, mark, _) => {
                    entries.retain_in(..=*upto, |_, _| false)?;
                    marks.insert("purged", mark.as_slice())?;
                }
                Job::Mark(name, bytes, _) => drop(marks.insert(name, bytes.as_slice())?),
            }
        }
        if let Some(committed) = committed {
            let mut mark = Vec::new();
            put_log_id(&mut mark, committed);
            marks.insert("committed", mark.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the log of the cluster, {}: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for LogError {}
