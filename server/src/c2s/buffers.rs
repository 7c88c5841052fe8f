//! Read and write buffers, lent to whoever has something to read or write. An idle connection has
//! none.

use parking_lot::Mutex;

/// Buffers kept for later; more are given back to the allocator.
const KEPT: usize = 64;
/// A buffer that grew beyond this is not kept.
const KEPT_BYTES: usize = 256 * 1024;
pub const READ_BYTES: usize = 16 * 1024;

static WRITE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static READ: Mutex<Vec<Box<[u8; READ_BYTES]>>> = Mutex::new(Vec::new());

/// An empty buffer to write into; back to the pool when dropped.
pub struct WriteBuffer(pub Vec<u8>);

/// A buffer to read into; back to the pool when dropped.
pub struct ReadBuffer(Option<Box<[u8; READ_BYTES]>>);

pub fn write_buffer() -> WriteBuffer {
    WriteBuffer(WRITE.lock().pop().unwrap_or_default())
}

pub fn read_buffer() -> ReadBuffer {
    let buffer = READ.lock().pop().unwrap_or_else(|| Box::new([0; READ_BYTES]));
    ReadBuffer(Some(buffer))
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        let mut kept = WRITE.lock();
        if kept.len() < KEPT && (1..=KEPT_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            kept.push(buffer);
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        let mut kept = READ.lock();
        if let Some(buffer) = self.0.take()
            && kept.len() < KEPT
        {
            kept.push(buffer);
        }
    }
}

impl std::ops::Deref for ReadBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Some(buffer) => &buffer[..],
            None => &[],
        }
    }
}

impl std::ops::DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Some(buffer) => &mut buffer[..],
            None => &mut [],
        }
    }
}
