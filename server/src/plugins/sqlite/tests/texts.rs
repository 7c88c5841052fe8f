//! Search by words: what is found is what a store without an index finds.

use super::*;
use crate::plugins::memory::Memory;
use crate::storage::archive::{End, Filter};

const NOON: Millis = 1_795_261_800_000;

impl Place {
    async fn open_searchable(&self, full_text: bool) -> Sqlite {
        Sqlite::open(Options { full_text, bulk_rows: 2048, ..Options::new(self.path()) })
            .await
            .expect("the store opens")
    }
}

fn draft(n: u64, romeo: AccountNumber, juliet: AccountNumber) -> Draft {
    let body =
        ["Wherefore art thou", "Thou art \"bold\" &amp; FAIR", "good night, good night", "J\u{fc}rgen 3:1"];
    let place = body[n as usize % body.len()];
    let language = if n.is_multiple_of(7) { "<body xml:lang='it'>buona notte</body>" } else { "" };
    let no_body = if n.is_multiple_of(11) { "<store xmlns='urn:xmpp:hints'/>" } else { "" };
    let stanza = match no_body {
        "" => format!("<message><body>{place} {n}</body>{language}<subject>secret</subject></message>"),
        hint => format!("<message>{hint}</message>"),
    };
    let owner = |account, sent: bool| {
        let role = Role { waits: !sent, archived: !n.is_multiple_of(13), sent };
        Owner { account, role, peer: Peer(n % 5) }
    };
    let (from, to) = if n.is_multiple_of(3) { (romeo, juliet) } else { (juliet, romeo) };
    let owners = match n % 17 {
        0 => [owner(romeo, true)].into_iter().collect(),
        _ => [owner(from, true), owner(to, false)].into_iter().collect(),
    };
    Draft { time: NOON + n * 1_000, owners, stanza: stanza.into() }
}

fn questions() -> Vec<Filter> {
    let all = Filter::default();
    let texts = [
        "thou",
        "ART",
        "art thou",
        "thou wherefore",
        "Night",
        "good",
        "notte",
        "secret",
        "j\u{fc}rgen",
        "3",
        "1 wherefore",
        "bold\" OR \"good",
        "body:good",
        "o1",
        "nowhere",
        "wher*",
        "...",
        "",
    ];
    let mut questions = Vec::new();
    for text in texts {
        questions.push(Filter { text: Some(text.to_owned()), ..all.clone() });
    }
    for text in ["thou", "good", "art thou"] {
        let text = Some(text.to_owned());
        questions.push(Filter { text: text.clone(), with: Some(Peer(2)), sent: true, ..all.clone() });
        let (start, end) = (Some(NOON + 500_000), Some(NOON + 2_600_000));
        questions.push(Filter { text: text.clone(), start, end, ..all.clone() });
        let (after, before) = (Some(MessageId(40)), Some(MessageId(2_900)));
        questions.push(Filter { text: text.clone(), after, before, ..all.clone() });
        questions.push(Filter { text, ids: Some((50..90).map(MessageId).collect()), ..all.clone() });
    }
    questions
}

async fn compare(store: &Sqlite, plain: &Memory, owner: AccountNumber) {
    let ids = |messages: Vec<Saved>| messages.into_iter().map(|message| message.id).collect::<Vec<_>>();
    for filter in questions() {
        let all = plain.archived(owner, &filter, End::Oldest, 9_999).await.expect("reads");
        let all = ids(all);
        for limit in [20, 9_999] {
            let found = store.archived(owner, &filter, End::Oldest, limit).await.expect("reads");
            assert_eq!(ids(found), all[..limit.min(all.len())], "the oldest {limit} of {filter:?}");
            let found = store.archived(owner, &filter, End::Newest, limit).await.expect("reads");
            assert_eq!(
                ids(found),
                all[all.len().saturating_sub(limit)..],
                "the newest {limit} of {filter:?}"
            );
        }
        let count = store.count_archived(owner, &filter, 50).await;
        assert_eq!(count, Ok(all.len().min(50) as u64), "{filter:?}");
    }
}

#[tokio::test]
async fn what_is_found_is_what_has_the_words() {
    let place = Place::new();
    let (store, plain) = (place.open_searchable(true).await, Memory::new());
    let mut owners = Vec::new();
    for jid in ["romeo@example.com", "juliet@example.com"] {
        let owner = account(&store, jid).await;
        let jid = BareJid::parse(jid).expect("an address");
        let same = plain.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await;
        assert_eq!(same, Ok(Written::Account(owner)));
        owners.push(owner);
    }
    let (romeo, juliet) = (owners[0], owners[1]);
    for first in (0..3_000).step_by(100) {
        let drafts: Vec<Draft> = (first..first + 100).map(|n| draft(n, romeo, juliet)).collect();
        let ids = store.save(drafts.clone()).await.expect("saves");
        assert_eq!(plain.save(drafts).await, Ok(ids));
    }
    for owner in [romeo, juliet] {
        compare(&store, &plain, owner).await;
    }
    for store in [&store as &dyn Store, &plain] {
        let write = Write::PurgeArchive { owner: romeo, before: NOON + 1_000_000, limit: 9_999 };
        store.write(write).await.expect("writes");
    }
    compare(&store, &plain, romeo).await;
    store.close().await;
    // Switched off, and on again after a while: it is made anew.
    let store = place.open_searchable(false).await;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%text%'";
    assert_eq!(place.sql(tables).await, 0);
    store.close().await;
    let store = place.open_searchable(true).await;
    for owner in [romeo, juliet] {
        compare(&store, &plain, owner).await;
    }
    // Nothing of it outlives its message.
    for jid in ["romeo@example.com", "juliet@example.com"] {
        let jid = BareJid::parse(jid).expect("an address");
        store.write(Write::RemoveAccount { jid }).await.expect("writes");
    }
    for _ in 0..200 {
        store.health().await.expect("writes");
    }
    assert_eq!(place.sql("SELECT count(*) FROM message").await, 0);
    assert_eq!(place.sql("SELECT count(*) FROM message_text").await, 0);
    store.close().await;
    let bytes = std::fs::read(place.path()).expect("reads");
    for word in ["wherefore", "Wherefore", "notte"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is left");
    }
}
