use crate::testing::{Client, Stage};

/// What becomes of a message: `O`ffline, `E`rror, `S`ilence, or the resources that get it.
const TYPES: [&str; 5] = ["normal", "chat", "groupchat", "headline", "error"];

struct Scene {
    stage: Stage,
    sender: Client,
    present: Vec<(String, Client)>,
}

impl Scene {
    /// `resources`: each with its priority; none: connected and not available.
    async fn new(resources: &[(&str, Option<i8>)]) -> Scene {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let sender = stage.bind("romeo@example.net/orchard").await;
        let mut present = Vec::new();
        for (resource, priority) in resources {
            let client = stage.bind(&format!("juliet@example.com/{resource}")).await;
            if let Some(priority) = priority {
                client.send(&format!("<presence><priority>{priority}</priority></presence>")).await;
            }
            present.push((resource.to_string(), client));
        }
        Scene { stage, sender, present }
    }

    async fn fate(&mut self, type_: &str, to: &str) -> String {
        for (_, client) in &mut self.present {
            client.received().await;
        }
        let saved = self.stage.store.count_messages();
        self.sender.send(&format!("<message type='{type_}' to='{to}'><body>x</body></message>")).await;
        if !self.sender.received().await.is_empty() {
            return "E".to_owned();
        }
        let waits = self.stage.store.count_messages() > saved;
        let mut got = Vec::new();
        for (resource, client) in &mut self.present {
            for message in client.stanzas().await {
                assert_eq!(message.to.as_ref().map(|to| to.as_str()), Some(to), "`to` is not rewritten");
                got.push(resource.as_str());
            }
        }
        match got.is_empty() {
            true if waits => "O".to_owned(),
            true => "S".to_owned(),
            false => got.join(" "),
        }
    }
}

/// RFC 6121 section 8.5.4, table 1, and behaviours 47 to 52.
#[tokio::test(start_paused = true)]
async fn the_table_of_delivery() {
    const BARE: &str = "juliet@example.com";
    const FULL: &str = "juliet@example.com/a";
    const GONE: &str = "juliet@example.com/gone";
    let negative = [("a", Some(-1))];
    let one = [("a", Some(0))];
    let more = [("a", Some(0)), ("b", Some(5)), ("c", Some(-1)), ("d", None)];
    type Row<'a> = (&'a [(&'a str, Option<i8>)], &'a str, [&'a str; 5]);
    let rows: &[Row] = &[
        (&[], "nobody@example.com", ["E", "E", "E", "S", "S"]),
        (&[], "nobody@example.com/x", ["E", "E", "E", "S", "S"]),
        (&[], BARE, ["O", "O", "E", "S", "S"]),
        (&[], GONE, ["E", "O", "E", "E", "S"]),
        (&negative, BARE, ["O", "O", "E", "S", "S"]),
        (&negative, FULL, ["a", "a", "a", "a", "a"]),
        (&negative, GONE, ["E", "O", "E", "E", "S"]),
        (&one, BARE, ["a", "a", "E", "a", "S"]),
        (&one, FULL, ["a", "a", "a", "a", "a"]),
        (&one, GONE, ["E", "a", "E", "E", "S"]),
        (&more, BARE, ["a b", "a b", "E", "a b", "S"]),
        (&more, GONE, ["E", "a b", "E", "E", "S"]),
        // Whatever its priority, and before its first presence.
        (&more, "juliet@example.com/c", ["c", "c", "c", "c", "c"]),
        (&more, "juliet@example.com/d", ["d", "d", "d", "d", "d"]),
        // The server itself reads no messages.
        (&[], "example.com", ["E", "E", "E", "S", "S"]),
    ];
    for (resources, to, fates) in rows {
        for (type_, fate) in TYPES.iter().zip(fates) {
            let mut scene = Scene::new(resources).await;
            assert_eq!(scene.fate(type_, to).await, *fate, "{type_} to {to} of {resources:?}");
        }
    }
}

/// RFC 6120 section 10.3: without `to` it is for the sender's own account.
#[tokio::test(start_paused = true)]
async fn without_an_address() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    romeo.send("<message type='chat'><body>x</body></message>").await;
    assert!(romeo.received().await.concat().contains("<body>x</body>"));
    romeo.send("<message type='error'/>").await;
    assert!(romeo.received().await.is_empty());
}

/// Behaviour 53, as far as there are no other servers.
#[tokio::test(start_paused = true)]
async fn other_domains_are_out_of_reach() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    for stanza in [
        "<message to='a@elsewhere.example'><body>x</body></message>",
        "<iq type='get' id='1' to='elsewhere.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<presence to='a@elsewhere.example/x'/>",
    ] {
        romeo.send(stanza).await;
        let received = romeo.received().await;
        assert_eq!(received.len(), 1, "{stanza}");
        assert!(received[0].contains("<remote-server-not-found"), "{received:?}");
    }
    romeo.send("<message type='error' to='a@elsewhere.example'/>").await;
    romeo.send("<iq type='result' id='1' to='a@elsewhere.example'/>").await;
    assert!(romeo.received().await.is_empty());
}
