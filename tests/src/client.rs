//! A client of the barest kind on a real connection, with stream management: it says what it is told, and gives
//! frames.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use xmpp_core::ns;
use xmpp_core::xml::{Frame, Limits, Scanner};

/// Everybody's.
pub const PASSWORD: &str = "secret";

pub struct Client {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    scanner: Scanner,
}

impl Client {
    /// Logs in to `localhost` by PLAIN, binds the resource `r` and enables stream management. `None` where the server
    /// is gone, or refuses.
    pub async fn login(address: SocketAddr, name: &str) -> Option<Client> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (read, write) = stream.into_split();
        let mut client = Client { read, write, scanner: Scanner::new(Limits::default()) };
        let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
        let plain = BASE64.encode(format!("\0{name}\0{PASSWORD}"));
        client.send(&format!("{header}<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>", ns::SASL)).await;
        let mut is_in = false;
        let decided = |frame: &Frame| {
            let Frame::Element(element) = frame else { return false };
            is_in = element.is("success", ns::SASL);
            is_in || element.is("failure", ns::SASL)
        };
        client.until(decided).await?;
        if !is_in {
            return None;
        }
        client.scanner.reset();
        let bind =
            format!("<iq type='set' id='b'><bind xmlns='{}'><resource>r</resource></bind></iq>", ns::BIND);
        client.send(&format!("{header}{bind}<enable xmlns='{}'/>", ns::SM)).await;
        client.until(|frame| matches!(frame, Frame::Element(e) if e.is("enabled", ns::SM))).await?;
        Some(client)
    }

    pub async fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Option<()> {
        loop {
            if wanted(&self.next().await?) {
                return Some(());
            }
        }
    }

    /// Is it still there to take it?
    pub async fn send(&mut self, text: &str) -> bool {
        self.write.write_all(text.as_bytes()).await.is_ok()
    }

    /// `None` where the connection has ended.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.scanner.next().ok()? {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            match self.read.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.scanner.feed(&buffer[..read]),
            }
        }
    }
}
