//! Snapshots as they lie on a disk and go over a link: what Raft says of them, then the table.
//!
//! ```text
//! "MKRS" | version 1 | length of the rest of the head (4 bytes, big-endian) | CRC-32 (4)
//! last log id | membership        (the head; then the table's own format)
//! ```

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::codec::{put_log_id, put_stored_membership, read_log_id, read_stored_membership};
use super::log_memory::MemoryLog;
use super::{Snapshot, SnapshotMeta};
use crate::Frozen;
use crate::wire::{Malformed, Reader, put_option};

const MAGIC: &[u8; 5] = b"MKRS\x01";
const HEAD_MAX_BYTES: usize = 1024 * 1024;

/// What survives a simulated node's end. Its clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    pub(super) log: MemoryLog,
    pub(super) snapshot: Arc<Mutex<Option<Bytes>>>,
}

/// Where the current snapshot is kept.
#[derive(Clone)]
pub enum Place {
    Memory(Arc<Mutex<Option<Bytes>>>),
    Folder(PathBuf),
}

/// A whole snapshot, which stays readable when a newer one takes its place.
#[derive(Debug, Clone)]
pub enum Body {
    Memory(Bytes),
    File(Arc<File>, PathBuf),
}

/// A snapshot that is being written, or is coming over a link.
pub enum Growing {
    Memory(Vec<u8>),
    File(BufWriter<File>, PathBuf),
}

impl Place {
    pub fn begin(&self, name: &str) -> io::Result<Growing> {
        match self {
            Place::Memory(_) => Ok(Growing::Memory(Vec::new())),
            Place::Folder(folder) => {
                let path = folder.join(name);
                let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
                Ok(Growing::File(BufWriter::new(named(&path, file)?), path))
            }
        }
    }

    /// The snapshot that was kept last, if there is one.
    pub fn current(&self) -> io::Result<Option<Body>> {
        match self {
            Place::Memory(kept) => Ok(kept.lock().clone().map(Body::Memory)),
            Place::Folder(folder) => {
                let path = folder.join("snapshot");
                match File::open(&path) {
                    Ok(file) => Ok(Some(Body::File(Arc::new(file), path))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => named(&path, Err(error)),
                }
            }
        }
    }

    /// From now on this is the current one. It is on the disk before the last one goes.
    pub fn keep(&self, body: &Body) -> io::Result<()> {
        match (self, body) {
            (Place::Memory(kept), Body::Memory(bytes)) => *kept.lock() = Some(bytes.clone()),
            (Place::Folder(folder), Body::File(_, path)) => {
                named(path, fs::rename(path, folder.join("snapshot")))?;
                named(folder, File::open(folder).and_then(|folder| folder.sync_all()))?;
            }
            _ => return Err(io::Error::other("a snapshot of another kind of disk")),
        }
        Ok(())
    }
}

impl Growing {
    pub fn finish(self) -> io::Result<Body> {
        match self {
            Growing::Memory(bytes) => Ok(Body::Memory(bytes.into())),
            Growing::File(writer, path) => {
                let file = writer.into_inner().map_err(|error| error.into_error());
                let file = named(&path, file)?;
                named(&path, file.sync_all())?;
                Ok(Body::File(Arc::new(file), path))
            }
        }
    }
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Growing::Memory(have) => have.write(bytes),
            Growing::File(writer, path) => named(path, writer.write(bytes)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Growing::Memory(_) => Ok(()),
            Growing::File(writer, path) => named(path, writer.flush()),
        }
    }
}

impl Body {
    /// At most so many bytes from there on; fewer only at the end.
    pub fn read_at(&self, offset: u64, most: usize) -> io::Result<Bytes> {
        match self {
            Body::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(from..bytes.len().min(from.saturating_add(most))))
            }
            Body::File(file, path) => {
                let mut bytes = vec![0; most];
                let mut have = 0;
                while have < most {
                    match named(path, file.read_at(&mut bytes[have..], offset + have as u64))? {
                        0 => break,
                        read => have += read,
                    }
                }
                bytes.truncate(have);
                Ok(bytes.into())
            }
        }
    }

    /// What Raft says of it, and a reader that stands where the table begins.
    pub fn open(&self) -> io::Result<(SnapshotMeta, Box<dyn Read + Send>)> {
        let mut reader: Box<dyn Read + Send> =
            Box::new(BufReader::with_capacity(128 * 1024, FromHere { body: self.clone(), at: 0 }));
        let meta = read_head(&mut reader).map_err(|error| match self {
            Body::Memory(_) => error,
            Body::File(_, path) => at(path, error),
        })?;
        Ok((meta, reader))
    }

    pub fn into_snapshot(self) -> io::Result<Snapshot> {
        let (meta, _) = self.open()?;
        Ok(Snapshot { meta, snapshot: self })
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Body::Memory(_) => None,
            Body::File(_, path) => Some(path),
        }
    }
}

struct FromHere {
    body: Body,
    at: u64,
}

impl Read for FromHere {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.body.read_at(self.at, into.len())?;
        into[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

pub fn write_snapshot(to: &mut Growing, meta: &SnapshotMeta, table: &Frozen) -> io::Result<()> {
    let mut head = Vec::new();
    put_option(&mut head, meta.last_log_id, put_log_id);
    put_stored_membership(&mut head, &meta.last_membership);
    to.write_all(MAGIC)?;
    to.write_all(&(head.len() as u32).to_be_bytes())?;
    to.write_all(&crc32fast::hash(&head).to_be_bytes())?;
    to.write_all(&head)?;
    table.write(to)
}

fn read_head(reader: &mut dyn Read) -> io::Result<SnapshotMeta> {
    let (mut magic, mut length, mut sum) = ([0; MAGIC.len()], [0; 4], [0; 4]);
    reader.read_exact(&mut magic)?;
    reader.read_exact(&mut length)?;
    reader.read_exact(&mut sum)?;
    let length = u32::from_be_bytes(length) as usize;
    if &magic != MAGIC || length > HEAD_MAX_BYTES {
        return Err(Malformed.into());
    }
    let mut head = vec![0; length];
    reader.read_exact(&mut head)?;
    if crc32fast::hash(&head) != u32::from_be_bytes(sum) {
        return Err(Malformed.into());
    }
    let mut head = Reader::new(head.into());
    let last_log_id = head.option(read_log_id)?;
    Ok(SnapshotMeta { last_log_id, last_membership: read_stored_membership(&mut head)? })
}

/// An error of the disk that names the file.
pub fn named<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| at(path, error))
}

pub fn at(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
