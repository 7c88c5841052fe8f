//! Routes COUNT chat messages from one session to another in this process, for callgrind to count
//! instructions: `route COUNT`. See tests/callgrind.

use meerkat_tests::stage::Stage;
use server::config::{Config, Save};

/// As many as a client sends before it waits.
const WINDOW: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let argument = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let Some(count) = argument else { panic!("usage: route COUNT") };
    let mut config = Config::default();
    config.messages.save = Save::UnlessDelivered;
    config.limits.bytes_per_second = server::config::Limit::None;
    let stage = Stage::with(config).await;
    stage.account("romeo").await;
    stage.account("juliet").await;
    let romeo = stage.login("romeo", "orchard").await;
    let mut juliet = stage.login("juliet", "balcony").await;
    let body = "x".repeat(300);
    let message =
        format!("<message to='juliet@localhost/balcony' type='chat' id='m1'><body>{body}</body></message>");
    let batch = message.repeat(WINDOW);
    let mut received: usize = 0;
    while received < count {
        romeo.send(&batch).await;
        for _ in 0..WINDOW {
            juliet.stanza().await;
        }
        received += WINDOW;
    }
    println!("routed {received}");
}
