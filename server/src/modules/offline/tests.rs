use crate::config::Config;
use crate::router::{Fate, Save};
use crate::storage::{OfflineQueue, StoreError};
use crate::telemetry::bound::Bound;
use crate::testing::{Client, Stage};

const JULIET: &str = "juliet@example.com";
const BALCONY: &str = "juliet@example.com/balcony";

async fn limited(offline_messages: u32) -> Stage {
    let mut config = Config::default();
    config.limits.offline_messages = offline_messages;
    Stage::with(config, Save::Always).await
}

/// XEP-0160 section 2 and XEP-0203: kept, and given with the time at which it came.
#[tokio::test(start_paused = true)]
async fn a_message_waits_and_is_given_with_its_time() {
    let stage = Stage::new().await;
    let owner = stage.account(JULIET).await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    assert_eq!(
        romeo.send(&format!("<message to='{JULIET}' id='1'><body>x</body></message>")).await,
        Fate::Pending
    );
    assert_eq!(romeo.received().await, [""; 0]);
    assert_eq!(stage.store.count_waiting(owner).await, Ok(1));
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
    let mut juliet = stage.login(BALCONY).await;
    assert_eq!(juliet.received().await, [""; 0], "login took it");
    assert_eq!(stage.store.count_waiting(owner).await, Ok(0));
    // Taken by one that ended without writing it, it waits again.
    juliet.end().await;
    let before = stage.router.now();
    romeo.send(&format!("<message to='{JULIET}' id='2'><body>y</body></message>")).await;
    let after = stage.router.now();
    let mut juliet = stage.bind(BALCONY).await;
    juliet.send("<presence/>").await;
    let message = juliet.received().await.remove(1);
    let start = "<message from='romeo@example.com/orchard' to='juliet@example.com' id='2'><body>y</body>\
                 <stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='";
    assert!(message.starts_with(start), "{message}");
    let stamp = message.split_once("<delay xmlns='urn:xmpp:delay' from='example.com' stamp='");
    let stamp = stamp.and_then(|(_, rest)| rest.split_once('\''));
    let came = stamp.and_then(|(stamp, _)| xmpp_core::date::parse_utc(stamp)).expect("a delay with a time");
    assert!((before..=after).contains(&came), "{message}");
}

/// Behaviour 74: the quota counts for those who are away only.
#[tokio::test(start_paused = true)]
async fn the_quota() {
    let stage = limited(2).await;
    let owner = stage.account(JULIET).await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let send = |to: &str, body: &str| format!("<message type='chat' to='{to}'><body>{body}</body></message>");
    for body in ["1", "2"] {
        romeo.send(&send(JULIET, body)).await;
    }
    assert_eq!(romeo.received().await, [""; 0]);
    romeo.send(&send(JULIET, "3")).await;
    romeo.send(&send(BALCONY, "4")).await;
    let refused = romeo.received().await;
    assert_eq!(refused.iter().filter(|xml| xml.contains("<service-unavailable")).count(), 2, "{refused:?}");
    assert_eq!(stage.store.count_waiting(owner).await, Ok(2));
    // A session that is addressed is there, whether or not it takes what waits.
    let mut juliet = stage.bind(BALCONY).await;
    romeo.send(&send(BALCONY, "5")).await;
    assert!(juliet.received().await.concat().contains("<body>5</body>"));
    juliet.send("<presence/>").await;
    for body in ["6", "7", "8"] {
        romeo.send(&send(JULIET, body)).await;
    }
    assert_eq!(romeo.received().await, [""; 0]);
}

async fn all_send(senders: Vec<Client>, message: &str) -> Vec<Client> {
    let send = |sender: Client| {
        let message = message.to_owned();
        tokio::spawn(async move {
            sender.send(&message).await;
            sender
        })
    };
    let sending: Vec<_> = senders.into_iter().map(send).collect();
    let mut sent = Vec::new();
    for sender in sending {
        sent.push(sender.await.expect("a client"));
    }
    sent
}

/// Messages on their way to the store have their places: a burst of many senders gets none too many and
/// none too few, whatever becomes of those before it.
#[tokio::test(start_paused = true)]
async fn the_quota_in_a_burst() {
    let stage = limited(7).await;
    let owner = stage.account(JULIET).await;
    stage.store.delay(std::time::Duration::from_millis(300));
    let mut senders = Vec::new();
    for n in 0..20 {
        senders.push(stage.bind(&format!("romeo{n}@example.com/orchard")).await);
    }
    let burst = |body: &str| format!("<message type='chat' to='{JULIET}'><body>{body}</body></message>");
    let refused = |stage: &Stage| stage.router.metrics.refusals.of(Bound::OfflineMessages).value();
    // All of the first are on their way when the store fails: their places are free again.
    stage.store.fail_writes(StoreError::Unavailable("a test".to_owned()));
    let others = senders.split_off(7);
    senders = all_send(senders, &burst("first")).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(stage.store.count_waiting(owner).await, Ok(0));
    assert_eq!(refused(&stage), 0);

    stage.store.heal();
    stage.store.delay(std::time::Duration::from_millis(300));
    senders.extend(others);
    senders = all_send(senders, &burst("second")).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(stage.store.count_waiting(owner).await, Ok(7));
    assert_eq!(refused(&stage), 13);
    let mut told = 0;
    for sender in &mut senders {
        told += usize::from(sender.received().await.concat().contains("<service-unavailable"));
    }
    assert_eq!(told, 13);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept() {
    let stage = Stage::new().await;
    let owner = stage.account(JULIET).await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    for (message, is_refused) in [
        ("<message type='headline' to='juliet@example.com'><body>x</body></message>", false),
        ("<message type='error' to='juliet@example.com'><body>x</body></message>", false),
        ("<message type='groupchat' to='juliet@example.com'><body>x</body></message>", true),
        ("<message to='juliet@example.com/gone'><body>x</body></message>", true),
        ("<message to='nobody@example.com'><body>x</body></message>", true),
        ("<message to='juliet@example.com'><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>", true),
        (
            "<message type='chat' to='juliet@example.com'>\
          <paused xmlns='http://jabber.org/protocol/chatstates'/></message>",
            false,
        ),
    ] {
        romeo.send(message).await;
        assert_eq!(romeo.received().await.concat().contains("<service-unavailable"), is_refused, "{message}");
    }
    assert_eq!(stage.store.count_waiting(owner).await, Ok(0));
    assert_eq!(stage.store.count_messages(), 0);
}

/// Under `always` it is this module that makes a message durable before it is delivered.
#[tokio::test(start_paused = true)]
async fn saved_before_it_is_delivered() {
    let stage = Stage::new().await;
    let mut juliet = stage.login(BALCONY).await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    stage.store.fail_writes(StoreError::Full("a test".to_owned()));
    let message = format!("<message type='chat' to='{JULIET}'><body>x</body></message>");
    romeo.send(&message).await;
    assert_eq!(juliet.received().await, [""; 0]);
    assert!(romeo.received().await.concat().contains("type='wait'"));
    stage.store.heal();
    romeo.send(&message).await;
    assert!(juliet.received().await.concat().contains("<stanza-id "));
    assert_eq!(stage.store.count_messages(), 0, "taken");
}

/// Under `unless-delivered` only what nobody took is saved.
#[tokio::test(start_paused = true)]
async fn saved_when_nobody_took_it() {
    let stage = Stage::with(Config::default(), Save::UnlessDelivered).await;
    let owner = stage.account(JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    let romeo = stage.bind("romeo@example.com/orchard").await;
    let message = format!("<message type='chat' to='{JULIET}'><body>x</body></message>");
    assert_eq!(romeo.send(&message).await, Fate::Decided);
    assert!(!juliet.received().await.concat().contains("<stanza-id "));
    // It lay in the mailbox of a session that ended.
    romeo.send(&message).await;
    assert_eq!(stage.store.count_waiting(owner).await, Ok(0));
    juliet.end().await;
    crate::testing::settle().await;
    assert_eq!(stage.store.count_waiting(owner).await, Ok(1));
    assert_eq!(romeo.send(&message).await, Fate::Pending);
    crate::testing::settle().await;
    assert_eq!(stage.store.count_waiting(owner).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn switched_off() {
    let mut config = Config::default();
    config.modules.offline.enabled = false;
    let stage = Stage::with(config, Save::Always).await;
    stage.account(JULIET).await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    romeo.send(&format!("<message to='{JULIET}'><body>x</body></message>")).await;
    assert!(romeo.received().await.concat().contains("<service-unavailable"));
}
