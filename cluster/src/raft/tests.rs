//! openraft's own suite over both logs, and what the log on a disk must bear.

use std::sync::Arc;

use openraft::StorageError;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::log_memory::MemoryLog;
use super::machine::Machine;
use super::snapshots::Place;
use super::{Applied, Entry, LogId, Proposal, RedbLog, Runtime, Types, Vote};
use crate::{Batch, BatchReply, SessionTable};

struct Nobody;

impl Applied for Nobody {
    fn batch(&self, _batch: &Batch, _reply: &BatchReply, _bytes: usize) {}
    fn before_restore(&self) {}
    fn restored(&self) {}
}

fn machine(place: Place) -> Machine {
    Machine::open(Arc::new(SessionTable::default()), place, Arc::new(Nobody)).unwrap()
}

struct InMemory;

impl StoreBuilder<Types, MemoryLog, Machine, ()> for InMemory {
    async fn build(&self) -> Result<((), MemoryLog, Machine), StorageError<Types>> {
        Ok(((), MemoryLog::default(), machine(Place::Memory(Arc::default()))))
    }
}

struct OnDisk;

impl StoreBuilder<Types, RedbLog, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, RedbLog, Machine), StorageError<Types>> {
        let folder = TempDir::new().unwrap();
        let log = RedbLog::open(&folder.path().join("raft.redb")).unwrap();
        let machine = machine(Place::Folder(folder.path().to_owned()));
        Ok((folder, log, machine))
    }
}

fn run<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.unwrap().block_on(Runtime::scope(1, play))
}

#[test]
fn the_log_in_memory_passes_the_suite() {
    run(Suite::test_all(InMemory)).unwrap();
}

#[test]
fn the_log_on_a_disk_passes_the_suite() {
    run(Suite::test_all(OnDisk)).unwrap();
}

fn log_id(index: u64) -> LogId {
    let mut bytes = Vec::new();
    [1, 1, index].iter().for_each(|n| crate::wire::put_number(&mut bytes, *n));
    super::codec::read_log_id(&mut crate::wire::Reader::new(bytes.into())).unwrap()
}

fn entry(index: u64, bytes: usize) -> Entry {
    let payload = openraft::EntryPayload::Normal(Proposal(vec![index as u8; bytes].into()));
    Entry { log_id: log_id(index), payload }
}

async fn append(log: &mut RedbLog, entries: Vec<Entry>) {
    use openraft::type_config::TypeConfigExt;
    let (flushed, is_flushed) = Types::oneshot();
    log.append(entries, openraft::storage::IOFlushed::signal(flushed)).await.unwrap();
    is_flushed.await.unwrap().unwrap();
}

#[test]
fn what_was_flushed_is_there_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("raft.redb");
    run(async {
        let mut log = RedbLog::open(&path).unwrap();
        log.save_vote(&Vote::new(7, 2)).await.unwrap();
        for index in 0..100 {
            append(&mut log, vec![entry(index, 100)]).await;
        }
        log.save_committed(Some(log_id(90))).await.unwrap();
        log.purge(log_id(49)).await.unwrap();
        log.truncate_after(Some(log_id(95))).await.unwrap();
    });
    run(async {
        let mut log = RedbLog::open(&path).unwrap();
        assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(7, 2)));
        assert_eq!(log.read_committed().await.unwrap(), Some(log_id(90)));
        let state = log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(49)), Some(log_id(95))));
        let entries = log.try_get_log_entries(..).await.unwrap();
        assert_eq!(entries.iter().map(|e| e.log_id.index).collect::<Vec<_>>(), (50..=95).collect::<Vec<_>>());
    });
}

#[test]
fn more_than_fits_in_memory_is_read_from_the_disk_in_parts() {
    let folder = TempDir::new().unwrap();
    run(async {
        let mut log = RedbLog::open(&folder.path().join("raft.redb")).unwrap();
        for index in 0..60 {
            append(&mut log, vec![entry(index, 500 * 1024)]).await;
        }
        let all = log.try_get_log_entries(..).await.unwrap();
        assert_eq!(all.iter().map(|e| e.log_id.index).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
        let mut next = 0;
        while next < 60 {
            let part = log.limited_get_log_entries(next, 60).await.unwrap();
            assert!((1..=5).contains(&part.len()), "{} entries of half a MiB from {next}", part.len());
            for entry in part {
                assert_eq!(entry.log_id.index, next);
                next += 1;
            }
        }
    });
}

#[test]
fn a_damaged_file_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("raft.redb");
    std::fs::write(&path, b"this is not a database, whatever its name says").unwrap();
    let error = RedbLog::open(&path).err().map(|error| error.to_string()).unwrap();
    assert!(error.contains("raft.redb"), "{error}");

    let snapshot = folder.path().join("snapshot");
    std::fs::write(&snapshot, b"MKRS\x01nonsense that goes on for a while").unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let opened = Machine::open(Arc::new(SessionTable::default()), place, Arc::new(Nobody));
    let error = opened.err().map(|error| error.to_string()).unwrap();
    assert!(error.contains("snapshot"), "{error}");
}
