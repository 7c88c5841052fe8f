//! One stanza, end to end, in this process.

use meerkat_tests::stage::Stage;

#[tokio::test(start_paused = true)]
async fn romeo_speaks_and_juliet_hears() {
    let stage = Stage::new().await;
    stage.account("romeo").await;
    stage.account("juliet").await;
    let romeo = stage.login("romeo", "orchard").await;
    let mut juliet = stage.login("juliet", "balcony").await;
    romeo
        .send("<message to='juliet@localhost/balcony' type='chat' id='m1'><body>But soft!</body></message>")
        .await;
    let heard = juliet.stanza().await;
    assert_eq!(heard.from, romeo.jid);
    assert_eq!(heard.payload.text_of("body", "jabber:client").as_deref(), Some("But soft!"));
}
