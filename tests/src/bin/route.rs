//! Routes COUNT chat messages from one session to another in this process, for callgrind to count
//! instructions: `route COUNT`. See tests/callgrind.

use std::io::ErrorKind;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use meerkat_tests::stage::{PASSWORD, Stage};
use server::c2s::pipe::{PipeEnd, pipe};
use server::config::{Config, Limit, Save, TlsMode};
use xmpp_core::{BareJid, ns};

/// As many as a client sends before it waits.
const WINDOW: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let Some(count) = argument else { panic!("usage: route COUNT") };
    let mut config = Config::default();
    config.messages.save = Save::UnlessDelivered;
    // An account with an archive has everything saved first.
    config.modules.mam.enabled = false;
    config.limits.bytes_per_second = Limit::None;
    let stage = Stage::new(config).await.expect("a stage");
    let romeo = login(&stage, "romeo").await;
    let juliet = login(&stage, "juliet").await;
    let body = "x".repeat(300);
    let message =
        format!("<message to='juliet@localhost/r' type='chat' id='m1'><body>{body}</body></message>");
    let batch = message.repeat(WINDOW);
    let mut routed: usize = 0;
    while routed < count {
        send(&romeo, &batch).await;
        until(&juliet, "</message>", WINDOW).await;
        routed += WINDOW;
    }
    println!("routed {routed}");
}

async fn login(stage: &Stage, name: &str) -> PipeEnd {
    let account = BareJid::new(Some(name), "localhost").expect("an address");
    stage.create_account(&account).await.expect("an account");
    let (server, client) = pipe(SocketAddr::from(([192, 0, 2, 1], 50000)));
    tokio::spawn(stage.node.c2s.clone().serve_pipe(server, TlsMode::None));
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
    let plain = BASE64.encode(format!("\0{name}\0{PASSWORD}"));
    send(&client, &format!("{header}<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>", ns::SASL)).await;
    until(&client, "<success", 1).await;
    let bind = format!("<iq type='set' id='b'><bind xmlns='{}'><resource>r</resource></bind></iq>", ns::BIND);
    send(&client, &format!("{header}{bind}")).await;
    until(&client, "</iq>", 1).await;
    client
}

async fn send(client: &PipeEnd, text: &str) {
    let mut bytes = text.as_bytes();
    while !bytes.is_empty() {
        match client.try_write(bytes) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => client.writable().await.expect("a pipe"),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Reads until `mark` came so often.
async fn until(client: &PipeEnd, mark: &str, times: usize) {
    let mut heard = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while memchr::memmem::find_iter(&heard, mark.as_bytes()).count() < times {
        match client.try_read(&mut buffer) {
            Ok(0) => panic!("the server closed: {}", String::from_utf8_lossy(&heard)),
            Ok(read) => heard.extend_from_slice(&buffer[..read]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => client.readable().await.expect("a pipe"),
            Err(e) => panic!("{e}"),
        }
    }
}
