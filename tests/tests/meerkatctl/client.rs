//! A client of the barest kind, over TCP without TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Nothing takes longer on a machine that does anything at all.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    stream: TcpStream,
    /// What came and was not yet looked for.
    heard: String,
}

impl Client {
    /// Logs in with the password of `Server::account` and binds the resource.
    pub fn login(server: SocketAddr, name: &str, resource: &str) -> Client {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut client = Client { stream, heard: String::new() };
        client.open();
        let message = BASE64.encode(format!("\0{name}\0secret"));
        client.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{message}</auth>"
        ));
        client.hear("<success");
        client.open();
        client.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ));
        client.hear("</iq>");
        client
    }

    /// Fetches the roster and says that it is there.
    pub fn appear(&mut self) {
        self.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq><presence/>");
        self.hear("id='roster'");
    }

    fn open(&mut self) {
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
        );
        self.hear("</stream:features>");
    }

    pub fn send(&mut self, xml: &str) {
        self.stream.write_all(xml.as_bytes()).expect("sent");
    }

    /// Reads until this has come; gives what came up to its end.
    #[track_caller]
    pub fn hear(&mut self, what: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(what) {
                let behind = self.heard.split_off(at + what.len());
                return std::mem::replace(&mut self.heard, behind);
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).expect("something to read");
            assert_ne!(read, 0, "it ended with {:?}, without {what}", self.heard);
            self.heard.push_str(std::str::from_utf8(&buffer[..read]).expect("UTF-8"));
        }
    }

    /// What comes until the server closes.
    pub fn rest(mut self) -> String {
        self.stream.read_to_string(&mut self.heard).expect("the end");
        self.heard
    }
}
