//! Archives searched by words (XEP-0431): what is found is what has them all, whichever store it is.

use server::storage::archive::{End, Filter, Peer};
use server::storage::{AccountNumber, Draft, MessageId, Millis, Owner, Role, Write};

use crate::stage::Stage;

crate::on_every_store![
    what_has_all_the_words_is_found,
    what_was_there_before_is_found_once_it_is_switched_on,
    what_goes_is_found_no_more,
];

const NOON: Millis = 1_795_261_800_000;
const MESSAGES: u64 = 400;

const BODIES: [&str; 5] = [
    "<body>Wherefore art thou</body>",
    "<body>Thou art \"bold\" &amp; FAIR</body>",
    "<body>good night</body><body xml:lang='it'>buona notte</body>",
    "<body>J\u{fc}rgen 3:1, caf\u{e9} cre\u{300}me</body>",
    "<subject>secret</subject>",
];

/// The text, and which of the five bodies have it.
const QUESTIONS: [(&str, &[u64]); 14] = [
    ("thou", &[0, 1]),
    ("ART thou", &[0, 1]),
    ("thou wherefore", &[0]),
    ("good notte", &[2]),
    ("secret", &[]),
    ("j\u{fc}rgen", &[3]),
    ("JURGEN 3", &[3]),
    ("CAFE\u{301} creme", &[3]),
    ("bold' | 'good", &[]),
    ("body:good", &[]),
    ("@2", &[]),
    ("wher*", &[]),
    ("...", &[]),
    ("", &[]),
];

fn draft(n: u64, romeo: AccountNumber, juliet: AccountNumber) -> Draft {
    let body = BODIES[(n % 5) as usize];
    let own = |account, sent: bool| {
        let role = Role { waits: !sent, archived: !n.is_multiple_of(13), sent };
        Owner { account, role, peer: Peer(n % 3) }
    };
    let owners = match n % 7 {
        0 => [own(romeo, true)].into_iter().collect(),
        _ => [own(romeo, true), own(juliet, false)].into_iter().collect(),
    };
    let stanza = format!("<message>{body}</message>");
    Draft { time: NOON + n * 1_000, owners, stanza: stanza.into() }
}

struct Filled {
    stage: Stage,
    romeo: AccountNumber,
    juliet: AccountNumber,
    ids: Vec<MessageId>,
}

impl Filled {
    async fn new(stage: Stage) -> Filled {
        let romeo = stage.create("romeo@example.com").await;
        let juliet = stage.create("juliet@example.com").await;
        let mut ids = Vec::new();
        for first in (0..MESSAGES).step_by(50) {
            ids.extend(stage.save((first..first + 50).map(|n| draft(n, romeo, juliet)).collect()).await);
        }
        Filled { stage, romeo, juliet, ids }
    }

    /// Numbers of messages in an archive with one of these bodies.
    fn expected(&self, owner: AccountNumber, bodies: &[u64], from: u64) -> Vec<MessageId> {
        let own = |n: &u64| !n.is_multiple_of(13) && (owner == self.romeo || !n.is_multiple_of(7));
        let said = (from..MESSAGES).filter(own).filter(|n| bodies.contains(&(n % 5)));
        said.map(|n| self.ids[n as usize]).collect()
    }

    async fn found(&self, owner: AccountNumber, filter: &Filter, end: End, limit: usize) -> Vec<MessageId> {
        let found = self.stage.store.archived(owner, filter, end, limit).await.expect("reads");
        found.iter().map(|message| message.id).collect()
    }

    async fn compare(&self, from: u64) {
        for owner in [self.romeo, self.juliet] {
            for (text, bodies) in QUESTIONS {
                let filter = Filter { text: Some(text.to_owned()), ..Filter::default() };
                let all = self.expected(owner, bodies, if owner == self.romeo { from } else { 0 });
                assert_eq!(self.found(owner, &filter, End::Oldest, 9_999).await, all, "{text:?}");
                let few = all.len().min(7);
                assert_eq!(self.found(owner, &filter, End::Oldest, 7).await, all[..few], "{text:?}");
                assert_eq!(
                    self.found(owner, &filter, End::Newest, 7).await,
                    all[all.len() - few..],
                    "{text:?}"
                );
                let count = self.stage.store.count_archived(owner, &filter, 9_999).await;
                assert_eq!(count, Ok(all.len() as u64), "{text:?}");
            }
        }
    }
}

async fn what_has_all_the_words_is_found(stage: Stage) {
    let filled = Filled::new(stage.searchable(true).await).await;
    filled.compare(0).await;
    // And is from whom, when, and among which it is asked for.
    let (text, ids) = (Some("thou art".to_owned()), &filled.ids);
    let all = filled.expected(filled.romeo, &[0, 1], 0);
    let number = |id: &MessageId| ids.iter().position(|one| one == id).expect("it was saved") as u64;
    let some: Vec<MessageId> = ids[50..90].to_vec();
    let (start, end) = (Some(NOON + 100_000), Some(NOON + 300_000));
    let plain = Filter { text, ..Filter::default() };
    for (filter, matches) in [
        (
            Filter { with: Some(Peer(2)), sent: true, ..plain.clone() },
            Box::new(|id: &MessageId| number(id) % 3 == 2) as Box<dyn Fn(&MessageId) -> bool>,
        ),
        (Filter { start, end, ..plain.clone() }, Box::new(|id| (100..=300).contains(&number(id)))),
        (
            Filter { after: Some(ids[10]), before: Some(ids[390]), ..plain.clone() },
            Box::new(|id| (11..390).contains(&number(id))),
        ),
        (Filter { ids: Some(some.clone()), ..plain.clone() }, Box::new(|id| some.contains(id))),
    ] {
        let expected: Vec<MessageId> = all.iter().filter(|id| matches(id)).copied().collect();
        assert!(!expected.is_empty());
        assert_eq!(filled.found(filled.romeo, &filter, End::Oldest, 999).await, expected, "{filter:?}");
        assert_eq!(filled.found(filled.romeo, &filter, End::Newest, 999).await, expected, "{filter:?}");
    }
}

async fn what_was_there_before_is_found_once_it_is_switched_on(stage: Stage) {
    let filled = Filled::new(stage).await;
    let mut filled = Filled { stage: filled.stage.searchable(true).await, ..filled };
    filled.compare(0).await;
    // Off, and on again after a while.
    for on in [false, true] {
        filled.stage = filled.stage.searchable(on).await;
    }
    filled.compare(0).await;
}

async fn what_goes_is_found_no_more(stage: Stage) {
    let filled = Filled::new(stage.searchable(true).await).await;
    filled.compare(0).await;
    let write = Write::PurgeArchive { owner: filled.romeo, before: NOON + 200_000, limit: 9_999 };
    filled.stage.done(write).await;
    filled.compare(200).await;
    filled.stage.remove("romeo@example.com").await;
    let filter = Filter { text: Some("thou".to_owned()), ..Filter::default() };
    for owner in [filled.romeo, filled.stage.create("romeo@example.com").await] {
        assert_eq!(filled.found(owner, &filter, End::Oldest, 9).await, []);
    }
    assert!(!filled.found(filled.juliet, &filter, End::Oldest, 9).await.is_empty());
}
