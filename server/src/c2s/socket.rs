//! A connection's two directions behind one type, driven by readiness: an idle connection waits
//! without a read or a write buffer of ours.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::buffers;
use super::pipe::PipeEnd;

/// Plain text that rustls may hold before it has been sent.
const TLS_BUFFER_BYTES: usize = 64 * 1024;

/// A peer that was told to go may take so long to do so.
const LINGER: Duration = Duration::from_secs(3);
/// And may send so much meanwhile.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

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

    /// Behind [`Socket::close`]: reads what the peer still sends and drops it, until it closes too, or has had time
    /// and bytes enough. A socket that is closed with unread bytes resets the connection, and then the peer may
    /// never read why its stream ended (RFC 1122 section 4.2.2.13).
    pub async fn linger(&self) {
        let _ = tokio::time::timeout(LINGER, self.discard()).await;
    }

    async fn discard(&self) -> io::Result<()> {
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.readable().await?;
            // The buffer is the thread's, and is not held while waiting.
            let read = {
                let mut buffer = buffers::read_buffer();
                let read = match self {
                    Socket::Plain(stream) | Socket::Tls(stream, _) => stream.try_read(&mut buffer),
                    Socket::Pipe(pipe) => pipe.try_read(&mut buffer),
                    Socket::Closed => Err(closed()),
                };
                match read {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                    read => read?,
                }
            };
            if read == 0 {
                return Ok(());
            }
            left = left.saturating_sub(read);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A kernel that finds unread bytes at the close sends RST in place of FIN, and the client's next read fails.
    #[tokio::test]
    async fn a_client_that_still_sends_reads_the_last_word_and_an_orderly_end() {
        let (mut client, server) = sockets().await;
        client.write_all(&[b'x'; 10_000]).await.unwrap();
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut [0; 100]).unwrap(), 100);
        server.write_all(b"</stream:stream>").await.unwrap();
        server.close();
        let server = tokio::spawn(async move { server.linger().await });

        // More than both kernels hold: somebody takes it in.
        client.write_all(&vec![b'x'; 8_000_000]).await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "</stream:stream>");
        drop(client);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn who_sends_without_end_is_not_listened_to_without_end() {
        let (mut client, server) = sockets().await;
        server.close();
        let server = tokio::spawn(async move { server.linger().await });
        let mut sent = 0;
        while client.write_all(&[b'x'; 100_000]).await.is_ok() {
            sent += 100_000;
            assert!(sent < 3 * LINGER_BYTES, "{sent} bytes");
        }
        server.await.unwrap();
    }

    async fn sockets() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (near.unwrap(), Socket::Plain(far.unwrap().0))
    }
}
