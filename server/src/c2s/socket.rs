//! A connection's two directions behind one type, driven by readiness: an idle connection waits
//! without a read or a write buffer of ours.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pipe::PipeEnd;

/// Plain text that rustls may hold before it has been sent.
const TLS_BUFFER_BYTES: usize = 64 * 1024;

pub enum Socket {
    Plain(TcpStream),
    /// The lock is held for one read or write that does not wait.
    Tls(TcpStream, Box<Mutex<ServerConnection>>),
    /// In memory, for tests that run in paused time.
    Pipe(PipeEnd),
    /// Nothing: it was taken away to begin TLS on it.
    Closed,
}

impl Socket {
    /// A connection whose handshake is done.
    pub fn tls(stream: TcpStream, mut connection: ServerConnection) -> Socket {
        connection.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Socket::Tls(stream, Box::new(Mutex::new(connection)))
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self, Socket::Tls(..))
    }

    pub fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Plain(stream) | Socket::Tls(stream, _) => stream.peer_addr(),
            Socket::Pipe(pipe) => Ok(pipe.peer()),
            Socket::Closed => Err(closed()),
        }
    }

    /// One waiter at a time. By polling, because every idle connection carries this wait: tokio's own
    /// `readable` would need twenty times the memory.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) | Socket::Tls(stream, _) => stream.poll_read_ready(context),
            Socket::Pipe(pipe) => pipe.poll_readable(context),
            Socket::Closed => Poll::Ready(Err(closed())),
        }
    }

    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Socket::Plain(stream) | Socket::Tls(stream, _) => stream.writable().await,
            Socket::Pipe(pipe) => pipe.writable().await,
            Socket::Closed => Err(closed()),
        }
    }

    /// Reads what is there. 0: the peer has closed. `WouldBlock`: nothing is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => read_plain(stream, buffer),
            Socket::Tls(stream, connection) => read_tls(stream, &mut connection.lock(), buffer),
            Socket::Pipe(pipe) => pipe.try_read(buffer),
            Socket::Closed => Err(closed()),
        }
    }

    /// Takes some of the bytes; `WouldBlock` when none can be taken now. What was taken may be held
    /// back by TLS until [`Socket::try_flush`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.try_write(bytes),
            Socket::Tls(stream, connection) => {
                let mut connection = connection.lock();
                let taken = connection.writer().write(bytes)?;
                match (write_tls(stream, &mut connection), taken) {
                    (Ok(()), taken) if taken > 0 => Ok(taken),
                    (Ok(()), _) => Err(io::ErrorKind::WouldBlock.into()),
                    (Err(e), taken) if e.kind() == io::ErrorKind::WouldBlock && taken > 0 => Ok(taken),
                    (Err(e), _) => Err(e),
                }
            }
            Socket::Pipe(pipe) => pipe.try_write(bytes),
            Socket::Closed => Err(closed()),
        }
    }

    /// Sends what TLS held back; `WouldBlock` while some is left.
    fn try_flush(&self) -> io::Result<()> {
        match self {
            Socket::Tls(stream, connection) => write_tls(stream, &mut connection.lock()),
            Socket::Plain(_) | Socket::Pipe(_) | Socket::Closed => Ok(()),
        }
    }

    /// Writes and sends all that goes without waiting. `WouldBlock`: what is left is left in `bytes`, or
    /// in TLS.
    pub fn try_write_all(&self, bytes: &mut &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.try_write(bytes)?;
            *bytes = &bytes[taken..];
        }
        self.try_flush()
    }

    /// Writes everything, waiting where it must.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            match self.try_write_all(&mut bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                done => return done,
            }
        }
    }

    /// Says goodbye to TLS and closes the sending side, as far as that goes without waiting.
    pub fn close(&self) {
        if let Socket::Tls(stream, connection) = self {
            let mut connection = connection.lock();
            connection.send_close_notify();
            let _ = write_tls(stream, &mut connection);
        }
        match self {
            Socket::Plain(stream) | Socket::Tls(stream, _) => {
                let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
            }
            Socket::Pipe(pipe) => pipe.close(),
            Socket::Closed => {}
        }
    }

    /// The plain stream, to begin TLS on it. Gives the socket back when it is not one, or is shared.
    pub fn into_plain(self: Arc<Socket>) -> Result<TcpStream, Arc<Socket>> {
        match Arc::try_unwrap(self) {
            Ok(Socket::Plain(stream)) => Ok(stream),
            Ok(other) => Err(Arc::new(other)),
            Err(shared) => Err(shared),
        }
    }
}

fn closed() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// With epoll a read that does not fill the buffer has drained the socket: whoever asks for more waits for
/// the next event, without asking the kernel.
fn read_plain(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut last = None;
    let read = stream.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(stream)).read(buffer)?;
        if cfg!(target_os = "linux") && (1..buffer.len()).contains(&read) {
            last = Some(read);
            // By this tokio learns that nothing is left, unless there was an event meanwhile.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(read)
    });
    last.map_or(read, Ok)
}

fn read_tls(stream: &TcpStream, connection: &mut ServerConnection, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match connection.reader().read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // A peer that closes TCP without a close_notify has closed all the same.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            done => return done,
        }
        if connection.read_tls(&mut NotWaiting(stream))? == 0 {
            return Ok(0);
        }
        let processed = connection.process_new_packets();
        // An alert, a key update or a ticket may be due.
        if connection.wants_write() {
            let _ = write_tls(stream, connection);
        }
        processed.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    }
}

fn write_tls(stream: &TcpStream, connection: &mut ServerConnection) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut NotWaiting(stream))?;
    }
    Ok(())
}

/// Reads and writes that answer `WouldBlock` where a blocking stream would wait.
struct NotWaiting<'a>(&'a TcpStream);

impl Read for NotWaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_plain(self.0, buffer)
    }
}

impl Write for NotWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
