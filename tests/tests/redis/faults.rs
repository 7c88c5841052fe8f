//! A Redis that is stopped, paused and flushed under load: slower, and never wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meerkat_tests::redis::{Kind, RedisServer};

use crate::client::Client;
use crate::stage::{PASSWORD, Stage};

const PAIRS: usize = 4;
/// What a change may take while Redis is away: until no server uses it any more, and what a busy machine adds.
const CHANGE_MOST: Duration = Duration::from_secs(4);
const MESSAGE_MOST: Duration = Duration::from_secs(4);

/// What was done, and how long it took at most.
#[derive(Default)]
struct Done {
    blocked: AtomicUsize,
    delivered: AtomicUsize,
    logins: AtomicUsize,
    slowest_change: AtomicUsize,
    slowest_message: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_and_comes_makes_nothing_wrong() {
    let redis = Arc::new(RedisServer::start(Kind::Secure));
    let stage = Arc::new(Stage::new(&redis, |config| config.storage.redis.timeout_ms = 10).await);
    for pair in 0..PAIRS {
        stage.create(&format!("romeo{pair}")).await;
        stage.create(&format!("juliet{pair}")).await;
    }
    stage.is_shared().await;
    let (done, over) = (Arc::new(Done::default()), Arc::new(AtomicBool::new(false)));
    let mut tasks = tokio::task::JoinSet::new();
    for pair in 0..PAIRS {
        tasks.spawn(quarrel(stage.clone(), pair, done.clone(), over.clone()));
    }
    tasks.spawn(log_in_again(stage.clone(), done.clone(), over.clone()));

    let seconds = |seconds| tokio::time::sleep(Duration::from_millis((seconds * 1000.0) as u64));
    for round in 0..2 {
        seconds(2.0).await;
        off_the_reactor(&redis, RedisServer::pause).await;
        seconds(0.3 + 2.5 * f64::from(round)).await;
        off_the_reactor(&redis, RedisServer::resume).await;
        seconds(1.0).await;
        off_the_reactor(&redis, RedisServer::flush).await;
        seconds(0.5).await;
        off_the_reactor(&redis, RedisServer::flush).await;
        seconds(3.0).await;
        off_the_reactor(&redis, RedisServer::stop).await;
        seconds(0.2 + 2.0 * f64::from(round)).await;
        off_the_reactor(&redis, RedisServer::start_again).await;
        // So long that it is used again.
        seconds(5.0).await;
        off_the_reactor(&redis, RedisServer::flush).await;
        for _ in 0..3 {
            off_the_reactor(&redis, RedisServer::pause).await;
            seconds(0.02).await;
            off_the_reactor(&redis, RedisServer::resume).await;
            seconds(0.1).await;
        }
    }
    over.store(true, Ordering::SeqCst);
    while let Some(task) = tasks.join_next().await {
        task.expect("nothing was wrong");
    }
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    let hits: f64 = [0, 1]
        .map(|node| stage.metric(node, "meerkat_cache_operations_total{action=\"look\",outcome=\"hit\"}"))
        .iter()
        .sum();
    println!(
        "blocked {}, delivered {}, logins {}, hits {hits}, slowest change {} ms, slowest message {} ms",
        count(&done.blocked),
        count(&done.delivered),
        count(&done.logins),
        count(&done.slowest_change),
        count(&done.slowest_message),
    );
    assert!(count(&done.blocked) > 20 && count(&done.delivered) > 20 && count(&done.logins) > 20);
    assert!(hits > 0.0, "the cache was of no use");
    assert!(Duration::from_millis(count(&done.slowest_change) as u64) < CHANGE_MOST);
    assert!(Duration::from_millis(count(&done.slowest_message) as u64) < MESSAGE_MOST);
}

async fn off_the_reactor(redis: &Arc<RedisServer>, what: fn(&RedisServer)) {
    let redis = redis.clone();
    tokio::task::spawn_blocking(move || what(&redis)).await.expect("done");
}

/// She blocks him through one server and the other in turn, and he writes through one and the other: what he writes
/// while he is blocked never arrives, what he writes afterwards does.
async fn quarrel(stage: Arc<Stage>, pair: usize, done: Arc<Done>, over: Arc<AtomicBool>) {
    let (his_name, her_name) = (format!("romeo{pair}"), format!("juliet{pair}"));
    let mut his = [stage.log_in(0, &his_name, "a").await, stage.log_in(1, &his_name, "b").await];
    let mut hers = [stage.log_in(0, &her_name, "a").await, stage.log_in(1, &her_name, "b").await];
    let block = format!("<block xmlns='urn:xmpp:blocking'><item jid='{his_name}@localhost'/></block>");
    let unblock = "<unblock xmlns='urn:xmpp:blocking'/>";
    let mut round = 0;
    while !over.load(Ordering::SeqCst) {
        round += 1;
        let (changing, writing) = (round % 2, round / 2 % 2);
        timed(&done.slowest_change, hers[changing].request("set", &block)).await;
        let id = format!("blocked{round}");
        timed(&done.slowest_message, write(&mut his[writing], &her_name, &id, true)).await;
        done.blocked.fetch_add(1, Ordering::SeqCst);
        timed(&done.slowest_change, hers[1 - changing].request("set", unblock)).await;
        let id = format!("open{round}");
        let arrived = async {
            write(&mut his[writing], &her_name, &id, false).await;
            hers[writing].until(|node| node.name == "message").await
        };
        let heard = timed(&done.slowest_message, arrived).await;
        assert_eq!(heard.attribute("id"), Some(id.as_str()), "{heard}");
        done.delivered.fetch_add(1, Ordering::SeqCst);
    }
}

/// `refused`: until its error came.
async fn write(client: &mut Client, to: &str, id: &str, refused: bool) {
    client
        .say(&format!("<message to='{to}@localhost' type='chat' id='{id}'><body>{id}</body></message>"))
        .await;
    if refused {
        client
            .until(|node| node.attribute("id") == Some(id) && node.attribute("type") == Some("error"))
            .await;
    }
}

async fn log_in_again(stage: Arc<Stage>, done: Arc<Done>, over: Arc<AtomicBool>) {
    let mut node = 0;
    while !over.load(Ordering::SeqCst) {
        node = 1 - node;
        let mut client = stage.connect(node, "192.0.2.7");
        client.log_in("romeo0", PASSWORD).await.expect("the right password");
        client.bind("again").await;
        done.logins.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn timed<T>(slowest: &AtomicUsize, what: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let result = what.await;
    slowest.fetch_max(began.elapsed().as_millis() as usize, Ordering::SeqCst);
    result
}
