//! A connection in memory: the plays' clients speak through it, in paused time, to the same code that
//! serves sockets.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Bytes that may lie in one direction, as in a socket's buffer.
const CAPACITY: usize = 64 * 1024;

pub struct PipeEnd {
    incoming: Arc<Direction>,
    outgoing: Arc<Direction>,
    peer: SocketAddr,
}

#[derive(Default)]
struct Direction {
    bytes: Mutex<(VecDeque<u8>, bool)>,
    /// Who waits for bytes.
    reader: Mutex<Option<Waker>>,
    drained: Notify,
}

/// Two ends; `peer` is the address that the server's end (the first) sees.
pub fn pipe(peer: SocketAddr) -> (PipeEnd, PipeEnd) {
    let (up, down) = (Arc::new(Direction::default()), Arc::new(Direction::default()));
    let server = PipeEnd { incoming: up.clone(), outgoing: down.clone(), peer };
    let client = PipeEnd { incoming: down, outgoing: up, peer };
    (server, client)
}

impl PipeEnd {
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    /// One waiter at a time, as with a socket.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before it looks, so that it is told of what comes behind its look.
        *self.incoming.reader.lock() = Some(context.waker().clone());
        let bytes = self.incoming.bytes.lock();
        match bytes.0.is_empty() && !bytes.1 {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }

    pub async fn writable(&self) -> io::Result<()> {
        loop {
            let drained = self.outgoing.drained.notified();
            {
                let bytes = self.outgoing.bytes.lock();
                if bytes.0.len() < CAPACITY || bytes.1 {
                    return Ok(());
                }
            }
            drained.await;
        }
    }

    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.incoming.bytes.lock();
        if bytes.0.is_empty() {
            return if bytes.1 { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let read = bytes.0.read(buffer)?;
        drop(bytes);
        self.incoming.drained.notify_one();
        Ok(read)
    }

    pub fn try_write(&self, source: &[u8]) -> io::Result<usize> {
        let mut bytes = self.outgoing.bytes.lock();
        if bytes.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY.saturating_sub(bytes.0.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = room.min(source.len());
        bytes.0.extend(&source[..taken]);
        drop(bytes);
        self.outgoing.wake_reader();
        Ok(taken)
    }

    /// Closes both directions: what lies in them can still be read.
    pub fn close(&self) {
        for direction in [&self.incoming, &self.outgoing] {
            direction.bytes.lock().1 = true;
            direction.wake_reader();
            direction.drained.notify_one();
        }
    }
}

impl Direction {
    fn wake_reader(&self) {
        let waker = self.reader.lock().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.close();
    }
}
