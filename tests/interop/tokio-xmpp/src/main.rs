//! A client on the crate tokio-xmpp. It takes commands from its standard input and tells what happens on its
//! standard output, a JSON object a line:
//!
//! ```text
//! interop-tokio-xmpp JID PASSWORD ADDRESS starttls|direct
//! <- {"do": "send", "xml": "<message ..."}     {"do": "stop"}
//! -> {"event": "online", "jid": "..."}         a new session
//! -> {"event": "suspended"}                    the connection broke
//! -> {"event": "resumed"}                      the same session on a new connection
//! -> {"event": "stanza", "xml": "..."}
//! -> {"event": "log", "text": "..."}           warnings and errors of the library
//! ```

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_xmpp::connect::{DirectTlsServerConnector, DnsConfig, StartTlsServerConnector};
use tokio_xmpp::jid::Jid;
use tokio_xmpp::parsers::stanza::Stanza;
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;

/// Stanzas that may wait for the stream.
const QUEUE: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _ = tokio_xmpp::rustls::crypto::aws_lc_rs::default_provider().install_default();
    log::set_logger(&Log).map_err(|error| error.to_string())?;
    log::set_max_level(log::LevelFilter::Warn);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [jid, password, address, tls] = arguments.as_slice() else {
        return Err("usage: interop-tokio-xmpp JID PASSWORD ADDRESS starttls|direct".into());
    };

    let (jid, password) = (Jid::new(jid)?, password.clone());
    let (server, timeouts) = (DnsConfig::Addr { addr: address.clone() }, Timeouts::tight());
    let mut stream = match tls.as_str() {
        "direct" => {
            StanzaStream::new_c2s(DirectTlsServerConnector::from(server), jid, password, timeouts, QUEUE)
        }
        _ => StanzaStream::new_c2s(StartTlsServerConnector::from(server), jid, password, timeouts, QUEUE),
    };
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            event = stream.next() => match event {
                Some(event) => tell(&event)?,
                None => return Err("the stream ended by itself".into()),
            },
            line = commands.next_line() => match line? {
                Some(line) if !is_stop(&line) => {
                    stream.send(Box::new(stanza(&line)?)).await;
                }
                _ => break,
            },
        }
    }
    stream.close().await;
    Ok(())
}

fn is_stop(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|command| command["do"] == "stop")
}

fn stanza(line: &str) -> Result<Stanza, Box<dyn std::error::Error>> {
    let command: Value = serde_json::from_str(line)?;
    let xml = command["xml"].as_str().ok_or("a command without xml")?;
    Ok(xso::from_bytes(xml.as_bytes())?)
}

fn tell(event: &Event) -> Result<(), Box<dyn std::error::Error>> {
    let told = match event {
        Event::Stream(StreamEvent::Reset { bound_jid, .. }) => {
            json!({"event": "online", "jid": bound_jid.as_str()})
        }
        Event::Stream(StreamEvent::Suspended) => json!({"event": "suspended"}),
        Event::Stream(StreamEvent::Resumed) => json!({"event": "resumed"}),
        Event::Stanza(stanza) => {
            json!({"event": "stanza", "xml": String::from_utf8(xso::to_vec(stanza)?)?})
        }
    };
    println!("{told}");
    Ok(())
}

/// What the library complains about, told like everything else.
struct Log;

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            println!("{}", json!({"event": "log", "text": record.args().to_string()}));
        }
    }

    fn flush(&self) {}
}
