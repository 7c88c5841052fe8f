//! Two servers on one database that share a Redis, when all is well.

use meerkat_tests::redis::{Kind, RedisServer};
use server::config::Limit;

use crate::stage::{PASSWORD, Stage};

const BLOCKING: &str = "urn:xmpp:blocking";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_server_changes_the_other_obeys_at_once() {
    let redis = RedisServer::start(Kind::Secure);
    let stage = Stage::new(&redis, |_| {}).await;
    stage.create("romeo").await;
    stage.create("juliet").await;
    stage.is_shared().await;
    let mut romeo = stage.log_in(1, "romeo", "x").await;
    let mut juliet = [stage.log_in(0, "juliet", "a").await, stage.log_in(1, "juliet", "b").await];
    for round in 0..30 {
        let item = format!("<block xmlns='{BLOCKING}'><item jid='romeo@localhost'/></block>");
        juliet[0].request("set", &item).await;
        romeo.say(&message(&format!("blocked{round}"))).await;
        romeo.until(|node| node.attribute("type") == Some("error")).await;
        juliet[0].request("set", &format!("<unblock xmlns='{BLOCKING}'/>")).await;
        romeo.say(&message(&format!("open{round}"))).await;
        // Nothing was in between.
        let heard = juliet[1].until(|node| node.name == "message").await;
        assert_eq!(heard.attribute("id"), Some(format!("open{round}").as_str()), "{heard}");
    }
    // What is shared is of use.
    for node in [0, 1] {
        let hits = stage.metric(node, "meerkat_cache_operations_total{action=\"look\",outcome=\"hit\"}");
        let failed: f64 = ["slow", "error"]
            .map(|outcome| format!("meerkat_cache_operations_total{{action=\"look\",outcome=\"{outcome}\"}}"))
            .iter()
            .map(|line| stage.metric(node, line))
            .sum();
        assert!(hits > 20.0, "node {node}: {hits} hits, {failed} failed");
    }
    let looks = "meerkat_plugin_operation_duration_seconds_count{plugin=\"redis\",operation=\"look\"}";
    assert!(stage.metric(1, looks) > 20.0);
    assert_eq!(stage.metric(1, "meerkat_plugin_connections{plugin=\"redis\",state=\"in_use\"}"), 1.0);
}

fn message(id: &str) -> String {
    format!("<message to='juliet@localhost' type='chat' id='{id}'><body>{id}</body></message>")
}

/// An account's existence, its ban, its preferences and its roster too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_appear_change_and_go_for_both_servers_and_leave_no_trace() {
    let redis = RedisServer::start(Kind::Plain);
    let stage = Stage::new(&redis, |_| {}).await;
    let romeo = stage.create("romeo").await;
    stage.is_shared().await;
    let find = async |node: usize, jid: &xmpp_core::BareJid| {
        stage.nodes[node].router.accounts.find(jid).get().await.expect("reads")
    };
    let juliet = xmpp_core::BareJid::parse("juliet@localhost").expect("an address");
    for round in 0..5 {
        for node in [0, 1, 0, 1] {
            assert!(find(node, &juliet).await.is_none(), "{round}");
        }
        stage.create("juliet").await;
        for node in [1, 0, 1] {
            assert!(!find(node, &juliet).await.expect("there is one").banned, "{round}");
        }
        stage.nodes[1].directory.ban(&juliet, "a test").await.expect("bans");
        assert!(find(0, &juliet).await.expect("there is one").banned);
        stage.nodes[0].directory.unban(&juliet).await.expect("lifts it");
        assert!(!find(1, &juliet).await.expect("there is one").banned);
        // They become contacts, through both servers.
        let mut his = stage.log_in(0, "romeo", "x").await;
        let mut hers = stage.log_in(1, "juliet", "x").await;
        for client in [&mut his, &mut hers] {
            client.request("get", "<query xmlns='jabber:iq:roster'/>").await;
        }
        his.say("<presence type='subscribe' to='juliet@localhost'/>").await;
        his.until(|node| node.name == "iq").await;
        hers.say("<presence type='subscribed' to='romeo@localhost'/>").await;
        hers.until(|node| node.name == "iq").await;
        for node in [0, 1] {
            let contact = find(node, &romeo).await.expect("there is one").contact(&juliet).cloned();
            assert!(contact.is_some_and(|contact| contact.subscription.to()), "{round}: node {node}");
        }
        let mam = "urn:xmpp:mam:2";
        hers.request("set", &format!("<prefs xmlns='{mam}' default='never'><always/><never/></prefs>")).await;
        let peer = romeo.jid();
        let archived =
            find(0, &juliet).await.expect("there is one").archives(&peer, server::config::Archiving::Always);
        assert!(!archived);
        assert!(redis.everything().contains("juliet"), "nothing of her is there: {}", redis.everything());
        stage.nodes[round % 2].directory.remove(&juliet).await.expect("removes");
        // What is left is an item of his, as in the database; he removes it too.
        let left = redis.everything();
        assert!(!left.contains("\"jid\":\"juliet"), "{left}");
        for node in [0, 1] {
            let contact = find(node, &romeo).await.expect("there is one").contact(&juliet).cloned();
            assert!(contact.is_some_and(|contact| !contact.subscription.to()), "{round}: node {node}");
        }
        let item = "<item jid='juliet@localhost' subscription='remove'/>";
        his.request("set", &format!("<query xmlns='jabber:iq:roster'>{item}</query>")).await;
        let left = redis.everything();
        assert!(!left.contains("juliet"), "{left}");
        // That there is no such account is kept as well, without her address.
        assert!(find(0, &juliet).await.is_none());
        let left = redis.everything();
        assert!(!left.contains("juliet"), "{left}");
    }
}

/// Behaviour 138, over two servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_logins_count_for_both_servers_together() {
    let redis = RedisServer::start(Kind::Plain);
    let stage = Stage::new(&redis, |config| {
        config.auth.failed_logins_per_account = Limit::AtMost(6);
        config.auth.failed_logins_per_address = Limit::None;
    })
    .await;
    for name in ["romeo", "juliet"] {
        stage.create(name).await;
    }
    stage.is_shared().await;
    let attempt = async |node: usize, address: &str, name: &str, password: &str| {
        stage.connect(node, address).log_in(name, password).await
    };
    let (here, elsewhere) = ("192.0.2.1", "192.0.2.2");
    for failed in 0..6 {
        let answer = attempt(failed % 2, here, "romeo", "wrong").await.expect_err("a wrong password");
        assert!(answer.contains("not-authorized"), "{failed}: {answer}");
        // Neither is another's login from there refused, nor the owner's from elsewhere.
        attempt(failed % 2, here, "juliet", PASSWORD).await.expect("her own password");
        attempt(1 - failed % 2, elsewhere, "romeo", PASSWORD).await.expect("his own password");
    }
    for node in [0, 1] {
        let answer = attempt(node, here, "romeo", PASSWORD).await.expect_err("too many failed");
        assert!(answer.contains("temporary-auth-failure"), "{answer}");
        assert_eq!(stage.metric(node, "meerkat_refusals_total{bound=\"failed_logins_per_account\"}"), 1.0);
    }
    // Without Redis each counts its own, of which there were three.
    redis.stop();
    for node in [0, 1] {
        attempt(node, here, "romeo", PASSWORD).await.expect("three of six failed here");
        for _ in 0..6 {
            attempt(node, here, "romeo", "wrong").await.expect_err("a wrong password");
        }
        let answer = attempt(node, here, "romeo", PASSWORD).await.expect_err("six of six failed here");
        assert!(answer.contains("temporary-auth-failure"), "{answer}");
        attempt(node, here, "juliet", PASSWORD).await.expect("her own password");
    }
    // And with it again they share what fails from then on.
    redis.start_again();
    stage.is_shared().await;
    for failed in 0..6 {
        attempt(failed % 2, "192.0.2.9", "juliet", "wrong").await.expect_err("a wrong password");
    }
    attempt(0, "192.0.2.9", "juliet", PASSWORD).await.expect_err("too many failed");
}
