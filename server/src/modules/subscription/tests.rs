use crate::storage::Subscription;
use crate::testing::{Client, Stage};

const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";
const ORCHARD: &str = "romeo@example.com/orchard";
const BALCONY: &str = "juliet@example.com/balcony";

async fn pair(stage: &Stage) -> (Client, Client) {
    (stage.login(ORCHARD).await, stage.login(BALCONY).await)
}

/// Kind, sender and what it says, without numbers: `push juliet@example.com none ask`.
async fn told(client: &mut Client) -> Vec<String> {
    let mut told = Vec::new();
    for stanza in client.stanzas().await {
        let from = stanza.from.as_ref().map_or("", |from| from.as_str());
        if let Some(query) = stanza.payload.get("query", xmpp_core::ns::ROSTER) {
            let item = query.elements().next().expect("an item");
            let attribute = |name| item.attribute(name).unwrap_or_default();
            let ask = if attribute("ask").is_empty() { "" } else { " ask" };
            let approved = if attribute("approved").is_empty() { "" } else { " approved" };
            told.push(format!("push {} {}{ask}{approved}", attribute("jid"), attribute("subscription")));
        } else {
            told.push(format!("{} {from}", stanza.type_.as_str().unwrap_or("available")));
        }
    }
    told
}

async fn send(client: &Client, type_: &str, to: &str) {
    client.send(&format!("<presence type='{type_}' to='{to}'/>")).await;
}

/// Sections 3.1 to 3.3, from beginning to end.
#[tokio::test(start_paused = true)]
async fn a_subscription_is_asked_for_granted_and_ended() {
    let stage = Stage::new().await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    // The request leaves with bare addresses, and with what it carries.
    romeo
        .send("<presence type='subscribe' to='Juliet@example.com/balcony' id='r'><status>hi</status></presence>")
        .await;
    assert_eq!(told(&mut romeo).await, ["push juliet@example.com none ask"]);
    assert_eq!(
        juliet.received().await,
        ["<presence from='romeo@example.com' to='juliet@example.com' id='r' type='subscribe'>\
          <status>hi</status></presence>"]
    );
    // Asked again, nothing comes again.
    send(&romeo, "subscribe", JULIET).await;
    assert!(juliet.received().await.is_empty() && romeo.received().await.is_empty());
    send(&juliet, "subscribed", ROMEO).await;
    assert_eq!(told(&mut juliet).await, ["push romeo@example.com from"]);
    assert_eq!(
        told(&mut romeo).await,
        [
            "subscribed juliet@example.com",
            "push juliet@example.com to",
            "available juliet@example.com/balcony"
        ]
    );
    send(&juliet, "subscribed", ROMEO).await;
    assert!(romeo.received().await.is_empty() && juliet.received().await.is_empty(), "not routed again");
    // Who is subscribed already is answered by the server (section 3.1.3, case 2).
    send(&romeo, "subscribe", JULIET).await;
    assert_eq!(told(&mut juliet).await, [""; 0]);
    send(&juliet, "unsubscribed", ROMEO).await;
    assert_eq!(told(&mut juliet).await, ["push romeo@example.com none"]);
    assert_eq!(
        told(&mut romeo).await,
        [
            "available juliet@example.com/balcony",
            "unavailable juliet@example.com/balcony",
            "unsubscribed juliet@example.com",
            "push juliet@example.com none"
        ]
    );
    juliet.send("<presence><show>dnd</show></presence>").await;
    assert!(romeo.received().await.is_empty());
}

/// Section 3.3.
#[tokio::test(start_paused = true)]
async fn who_unsubscribes_sees_the_contact_go() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    romeo.received().await;
    send(&romeo, "unsubscribe", JULIET).await;
    assert_eq!(
        told(&mut romeo).await,
        ["push juliet@example.com from", "unavailable juliet@example.com/balcony"]
    );
    assert_eq!(told(&mut juliet).await, ["unsubscribe romeo@example.com", "push romeo@example.com to"]);
}

/// Section 3.1.3, case 4: kept whole, given once at each login, until it is answered.
#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_answer() {
    let stage = Stage::new().await;
    stage.account(JULIET).await;
    let romeo = stage.login(ORCHARD).await;
    send(&romeo, "subscribe", JULIET).await;
    romeo.send("<presence type='subscribe' to='juliet@example.com'><status>please</status></presence>").await;
    for resource in ["balcony", "chamber"] {
        let mut juliet = stage.bind(&format!("{JULIET}/{resource}")).await;
        assert!(juliet.received().await.is_empty(), "not before it is available");
        juliet.send("<presence><priority>-1</priority></presence>").await;
        let received = juliet.received().await;
        let requests: Vec<_> = received.iter().filter(|xml| xml.contains("subscribe")).collect();
        assert_eq!(
            requests,
            ["<presence from='romeo@example.com' to='juliet@example.com' type='subscribe'>\
              <status>please</status></presence>"]
        );
        juliet.send("<presence/>").await;
        assert!(!juliet.received().await.iter().any(|xml| xml.contains("subscribe")), "once for a login");
        juliet.end().await;
    }
    let juliet = stage.login(BALCONY).await;
    send(&juliet, "unsubscribed", ROMEO).await;
    juliet.end().await;
    let mut juliet = stage.bind(BALCONY).await;
    juliet.send("<presence/>").await;
    assert_eq!(told(&mut juliet).await, ["available juliet@example.com/balcony"]);
}

/// Section 3.4.
#[tokio::test(start_paused = true)]
async fn what_was_approved_beforehand_is_granted_at_once() {
    let stage = Stage::new().await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    send(&juliet, "subscribed", ROMEO).await;
    assert_eq!(told(&mut juliet).await, ["push romeo@example.com none approved"]);
    assert!(romeo.received().await.is_empty());
    send(&romeo, "subscribe", JULIET).await;
    assert_eq!(told(&mut juliet).await, ["push romeo@example.com from approved"]);
    assert_eq!(
        told(&mut romeo).await,
        [
            "push juliet@example.com none ask",
            "subscribed juliet@example.com",
            "push juliet@example.com to",
            "available juliet@example.com/balcony"
        ]
    );
    send(&juliet, "unsubscribed", ROMEO).await;
    assert_eq!(told(&mut juliet).await, ["push romeo@example.com none"]);
}

/// Requests go to available resources, what else there is to interested ones (section 2.2).
#[tokio::test(start_paused = true)]
async fn who_is_told() {
    let stage = Stage::new().await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    let mut hidden = stage.bind("juliet@example.com/hidden").await;
    hidden.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>").await;
    let mut present = stage.bind("juliet@example.com/present").await;
    present.send("<presence><priority>-5</priority></presence>").await;
    for client in [&mut hidden, &mut present, &mut juliet] {
        client.received().await;
    }
    send(&romeo, "subscribe", JULIET).await;
    assert_eq!(told(&mut present).await, ["subscribe romeo@example.com"]);
    assert_eq!(told(&mut hidden).await, [""; 0]);
    send(&juliet, "subscribed", ROMEO).await;
    assert_eq!(told(&mut hidden).await, ["push romeo@example.com from"]);
    assert_eq!(told(&mut present).await, [""; 0]);
    romeo.received().await;
    send(&romeo, "unsubscribe", JULIET).await;
    assert_eq!(told(&mut hidden).await, ["unsubscribe romeo@example.com", "push romeo@example.com none"]);
    assert_eq!(told(&mut present).await, [""; 0]);
}

/// Behaviour 135, and section 8.5.3.2.2.
#[tokio::test(start_paused = true)]
async fn what_reaches_nobody() {
    let stage = Stage::new().await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    send(&romeo, "subscribe", "nobody@example.com").await;
    assert_eq!(told(&mut romeo).await, ["push nobody@example.com none ask"], "as if somebody were there");
    send(&romeo, "subscribe", "somebody@elsewhere.example").await;
    let error = romeo.stanzas().await.remove(0).error().expect("an error");
    assert_eq!(error.condition.as_str(), "remote-server-not-found");
    send(&romeo, "subscribe", ROMEO).await;
    romeo.send("<presence type='subscribe'/>").await;
    assert_eq!(told(&mut romeo).await, ["error "]);
    stage.put_item(JULIET, ROMEO, Subscription::Both).await;
    juliet.received().await;
    for type_ in ["subscribed", "unsubscribe", "unsubscribed"] {
        send(&romeo, type_, "juliet@example.com/no-such-resource").await;
    }
    assert!(juliet.received().await.is_empty() && romeo.received().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_size() {
    let stage = Stage::new().await;
    let (mut romeo, mut juliet) = pair(&stage).await;
    let status = "x".repeat(super::REQUEST_MAX_BYTES);
    romeo
        .send(&format!("<presence type='subscribe' to='{JULIET}'><status>{status}</status></presence>"))
        .await;
    assert_eq!(told(&mut romeo).await, ["error juliet@example.com"]);
    assert!(juliet.received().await.is_empty());
}

/// An account that is removed takes its subscriptions along, and each contact sees it go once.
#[tokio::test(start_paused = true)]
async fn an_account_that_is_removed_is_gone_for_its_contacts() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let (romeo, mut juliet) = pair(&stage).await;
    juliet.received().await;
    stage.directory.remove(&crate::testing::bare(ROMEO)).await.expect("removed");
    romeo.end().await;
    assert_eq!(
        told(&mut juliet).await,
        [
            "unsubscribe romeo@example.com",
            "push romeo@example.com to",
            "unavailable romeo@example.com/orchard",
            "unsubscribed romeo@example.com",
            "push romeo@example.com none"
        ]
    );
}
