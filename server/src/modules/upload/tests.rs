use xmpp_core::Element;

use crate::config::Limit;
use crate::testing::Stage;

const SERVICE: Option<&str> = Some("upload.example.com");

fn request(name: &str, size: u64) -> String {
    format!("<request xmlns='urn:xmpp:http:upload:0' filename='{name}' size='{size}'/>")
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_a_pair_of_urls_that_nobody_guesses() {
    let stage = Stage::new().await;
    let mut juliet = stage.bind("juliet@example.com/balcony").await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let slot = juliet.ask("get", SERVICE, &request("très cool.jpg", 23456)).await;
        let slot = Element::parse(slot.as_bytes()).expect("a slot");
        let url = |name| {
            let element = slot.find(name, "urn:xmpp:http:upload:0").expect(name);
            element.attribute("url").expect("a URL").to_owned()
        };
        let (put, get) = (url("put"), url("get"));
        let path = get.strip_prefix("https://example.com:5443/upload/").expect("https where there is TLS");
        let (name, title) = path.split_once('/').expect("a name and a title");
        assert_eq!((name.len(), title), (40, "tr%C3%A8s%20cool.jpg"));
        assert!(put.starts_with(&format!("{get}?until=")), "{put}");
        assert!(put.is_ascii());
        names.push(name.to_owned());
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test(start_paused = true)]
async fn only_the_domains_own_accounts_may_ask() {
    let stage = Stage::new().await;
    let mut tybalt = stage.bind("tybalt@example.net/square").await;
    assert_eq!(tybalt.ask("get", SERVICE, &request("a.txt", 1)).await, "auth forbidden");
    let own = tybalt.ask("get", Some("upload.example.net"), &request("a.txt", 1)).await;
    assert!(own.contains("https://example.net:5443/upload/"), "{own}");
    assert_eq!(tybalt.ask("set", SERVICE, &request("a.txt", 1)).await, "cancel not-allowed");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused() {
    let stage = Stage::new().await;
    let mut juliet = stage.bind("juliet@example.com/balcony").await;
    let ns = "xmlns='urn:xmpp:http:upload:0'";
    let bad = [
        format!("<request {ns} size='1'/>"),
        format!("<request {ns} filename='a'/>"),
        format!("<request {ns} filename='a' size='-1'/>"),
        format!("<request {ns} filename='' size='1'/>"),
        format!("<request {ns} filename='../a' size='1'/>"),
        format!("<request {ns} filename='..' size='1'/>"),
        format!("<request {ns} filename='a' size='1' content-type='image'/>"),
        format!(
            "<request {ns} filename='a' size='1'><ephemeral xmlns='urn:xmpp:http:upload:purpose:0'/></request>"
        ),
    ];
    for request in bad {
        assert_eq!(juliet.ask("get", SERVICE, &request).await, "modify bad-request", "{request}");
    }
    let forever = format!(
        "<request {ns} filename='a' size='1'><permanent xmlns='urn:xmpp:http:upload:purpose:0'/></request>"
    );
    assert_eq!(juliet.ask("get", SERVICE, &forever).await, "cancel feature-not-implemented");
}

/// A day's quota is a day's: when the oldest of its slots is a day old, there is room again.
#[tokio::test(start_paused = true)]
async fn a_quota_ends_when_it_says() {
    let stage = Stage::configured(|config| {
        config.modules.upload.files_per_day = 2;
        config.modules.upload.bytes_per_day = 100;
        config.modules.upload.expire_after_days = Limit::None;
    })
    .await;
    let mut juliet = stage.bind("juliet@example.com/balcony").await;
    let hour = std::time::Duration::from_secs(3600);
    assert!(juliet.ask("get", SERVICE, &request("a", 60)).await.contains("<slot"));
    tokio::time::advance(hour).await;
    assert_eq!(juliet.ask("get", SERVICE, &request("b", 41)).await, "wait resource-constraint");
    assert!(juliet.ask("get", SERVICE, &request("b", 40)).await.contains("<slot"));
    assert_eq!(juliet.ask("get", SERVICE, &request("c", 0)).await, "wait resource-constraint");
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    assert!(
        romeo.ask("get", SERVICE, &request("a", 60)).await.contains("<slot"),
        "each has a quota of his own"
    );
    tokio::time::advance(23 * hour).await;
    assert!(juliet.ask("get", SERVICE, &request("c", 60)).await.contains("<slot"));
}
