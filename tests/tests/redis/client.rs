//! A client that logs in with a password, and hears stanzas.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use meerkat_tests::actor::Connection;
use meerkat_tests::xml::{Heard, Node, STREAM};
use server::c2s::pipe::PipeEnd;

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// On a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client {
    connection: Connection,
    requests: u32,
}

impl Client {
    pub fn new(pipe: PipeEnd) -> Client {
        Client { connection: Connection::new(pipe), requests: 0 }
    }

    pub async fn say(&self, xml: &str) {
        self.connection.send(xml.as_bytes()).await.expect("it reads");
    }

    /// The next element, or nothing within the time.
    pub async fn hear(&mut self, within: Duration) -> Option<Node> {
        loop {
            match self.connection.next(within).await.expect("well-formed XML")? {
                Heard::Header(_) => {}
                Heard::Element(node) => return Some(node),
                other => panic!("the stream ended: {other:?}"),
            }
        }
    }

    /// The next one that is like this. Others are passed over.
    pub async fn until(&mut self, is: impl Fn(&Node) -> bool) -> Node {
        loop {
            let node = self.hear(PATIENCE).await.expect("something comes");
            if is(&node) {
                return node;
            }
        }
    }

    /// Up to the features behind the login, or the name of the failure.
    pub async fn log_in(&mut self, name: &str, password: &str) -> Result<(), String> {
        self.open_stream().await;
        let plain = BASE64.encode(format!("\0{name}\0{password}"));
        self.say(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>")).await;
        let answer = self.until(|node| node.is("success", SASL) || node.is("failure", SASL)).await;
        if answer.is("failure", SASL) {
            return Err(answer.to_string());
        }
        self.open_stream().await;
        Ok(())
    }

    async fn open_stream(&mut self) {
        self.connection.restart();
        self.say(&format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='{STREAM}' to='localhost' version='1.0'>"
        ))
        .await;
        self.until(|node| node.is("features", STREAM)).await;
    }

    pub async fn bind(&mut self, resource: &str) {
        self.request("set", &format!("<bind xmlns='{BIND}'><resource>{resource}</resource></bind>")).await;
    }

    /// An IQ that is answered with a result.
    pub async fn request(&mut self, type_: &str, payload: &str) {
        self.requests += 1;
        let id = format!("request{}", self.requests);
        self.say(&format!("<iq type='{type_}' id='{id}'>{payload}</iq>")).await;
        let answer = self.until(|node| node.name == "iq" && node.attribute("id") == Some(&id)).await;
        assert_eq!(answer.attribute("type"), Some("result"), "{answer}");
    }
}
