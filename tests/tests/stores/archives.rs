//! Archives: each question is asked of the store and of a plain list, and has the same answer.

use server::storage::archive::{End, Filter, Peer};
use server::storage::{AccountNumber, Draft, MessageId, Millis, Owner, Role, Verified, Write, Written};

use crate::stage::{Stage, bare};

crate::on_every_store![
    every_question_has_the_answer_of_a_plain_list,
    what_was_taken_stays_in_the_archive,
    an_archive_goes_with_its_account,
    what_waits_says_whether_it_is_archived,
    the_oldest_go_first_and_leave_no_hole,
    what_was_purged_waits_on_until_it_is_taken,
    a_look_over_a_sound_store_finds_no_fault,
];

const RECEIVED: Role = Role { waits: false, archived: true, sent: false };
const SENT: Role = Role { waits: false, archived: true, sent: true };
const NOON: Millis = 1_795_261_800_000;
/// More than the store indexes at once, so that a page may lie across that border.
const MESSAGES: u64 = 5_000;

/// A message as the plain list knows it.
struct Known {
    id: MessageId,
    time: Millis,
    peer: Peer,
    sent: bool,
}

/// Of ten messages six are to or from the nurse, three Romeo's, one of nobody's archive.
fn message(n: u64, owner: AccountNumber) -> (Draft, Option<(Peer, bool)>) {
    let peer = match n % 10 {
        0..6 => Some("nurse@example.com"),
        6..9 => Some("romeo@example.com"),
        _ => None,
    };
    let peer = peer.map(|jid| Peer::of(&bare(jid)));
    let sent = n.is_multiple_of(3);
    let role = if sent { SENT } else { RECEIVED };
    let other = Owner { account: AccountNumber(9_999), role: SENT, peer: Peer::of(&bare("x@example.com")) };
    let own = peer.map(|peer| Owner { account: owner, role, peer });
    // Every second another message is a little late.
    let time = NOON + n * 1_000 - if n % 7 == 3 { 2_500 } else { 0 };
    let owners = own.into_iter().chain([other]).collect();
    (Draft { time, owners, stanza: format!("message {n}").into() }, peer.map(|peer| (peer, sent)))
}

async fn filled(stage: &Stage, owner: AccountNumber) -> Vec<Known> {
    let mut known = Vec::new();
    for first in (0..MESSAGES).step_by(100) {
        let (drafts, own): (Vec<_>, Vec<_>) = (first..first + 100).map(|n| message(n, owner)).unzip();
        let times: Vec<Millis> = drafts.iter().map(|draft| draft.time).collect();
        let ids = stage.save(drafts).await;
        for ((id, time), own) in ids.into_iter().zip(times).zip(own) {
            known.extend(own.map(|(peer, sent)| Known { id, time, peer, sent }));
        }
    }
    known
}

fn matches(known: &Known, filter: &Filter) -> bool {
    filter.with.is_none_or(|with| known.peer == with)
        && filter.start.is_none_or(|start| known.time >= start)
        && filter.end.is_none_or(|end| known.time <= end)
        && filter.after.is_none_or(|after| known.id > after)
        && filter.before.is_none_or(|before| known.id < before)
        && filter.ids.as_ref().is_none_or(|ids| ids.contains(&known.id))
        && (known.sent || !filter.sent)
}

async fn compare(stage: &Stage, owner: AccountNumber, known: &[Known], filter: &Filter) {
    let expected: Vec<MessageId> =
        known.iter().filter(|one| matches(one, filter)).map(|one| one.id).collect();
    for limit in [1, 50, 10_000] {
        let first = stage.store.archived(owner, filter, End::Oldest, limit).await.expect("reads");
        let ids: Vec<MessageId> = first.iter().map(|message| message.id).collect();
        assert_eq!(ids, expected[..limit.min(expected.len())], "the oldest {limit} of {filter:?}");
        let last = stage.store.archived(owner, filter, End::Newest, limit).await.expect("reads");
        let ids: Vec<MessageId> = last.iter().map(|message| message.id).collect();
        assert_eq!(ids, expected[expected.len().saturating_sub(limit)..], "the newest {limit} of {filter:?}");
        assert!(first.iter().chain(&last).all(|message| message.archived));
        let count = stage.store.count_archived(owner, filter, limit as u64).await.expect("counts");
        assert_eq!(count, expected.len().min(limit) as u64, "at most {limit} of {filter:?}");
    }
}

async fn every_question_has_the_answer_of_a_plain_list(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let known = filled(&stage, owner).await;
    let mut stage = stage;
    for _ in 0..2 {
        for filter in questions(&known) {
            compare(&stage, owner, &known, &filter).await;
        }
        stage = stage.restarted().await;
    }
    let message = stage.store.archived(owner, &Filter::default(), End::Oldest, 1).await.expect("reads");
    assert_eq!(&*message[0].stanza, b"message 0");
    assert_eq!(message[0].time, NOON);
}

fn questions(known: &[Known]) -> Vec<Filter> {
    let all = Filter::default();
    let nurse = Some(Peer::of(&bare("nurse@example.com")));
    let nobody = Some(Peer::of(&bare("paris@example.com")));
    let at = |n: usize| Some(known[n].id);
    let time = |n: u64| Some(NOON + n * 1_000);
    let some = vec![known[5].id, known[1_000].id, known[4_000].id, MessageId(1 << 40)];
    let mut questions = vec![
        all.clone(),
        Filter { with: nurse, ..all.clone() },
        Filter { with: nobody, ..all.clone() },
        Filter { sent: true, ..all.clone() },
        Filter { ids: Some(some.clone()), ..all.clone() },
        Filter { ids: Some(some), with: nurse, sent: true, ..all.clone() },
        Filter { ids: Some(Vec::new()), ..all.clone() },
        Filter { start: time(100), end: time(100), ..all.clone() },
        Filter { start: time(MESSAGES * 2), ..all.clone() },
        Filter { end: Some(NOON - 3_600_000), ..all.clone() },
        Filter { start: time(0), end: time(MESSAGES * 2), with: nurse, ..all.clone() },
    ];
    for (first, last) in [(10, 20), (1_000, 3_000), (0, 4_499), (4_400, 4_499)] {
        questions.push(Filter { after: at(first), ..all.clone() });
        questions.push(Filter { before: at(last), with: nurse, ..all.clone() });
        questions.push(Filter { after: at(first), before: at(last), ..all.clone() });
        let (start, end) = (time(first as u64), time(last as u64));
        questions.push(Filter { start, ..all.clone() });
        questions.push(Filter { end, with: nurse, ..all.clone() });
        questions.push(Filter { start, end, after: at(first + 5), ..all.clone() });
    }
    questions
}

async fn what_was_taken_stays_in_the_archive(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let role = Role { waits: true, archived: true, sent: false };
    let owners = [Owner { account: owner, role, peer: Peer(1) }].into_iter().collect();
    let ids = stage.save(vec![Draft { time: NOON, owners, stanza: "x".into() }]).await;
    stage.store.taken(owner, ids[0]);
    let stage = stage.restarted().await;
    assert_eq!(stage.waiting(owner).await.len(), 0);
    let archived = stage.store.archived(owner, &Filter::default(), End::Newest, 9).await.expect("reads");
    assert_eq!(archived.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
}

async fn an_archive_goes_with_its_account(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    filled(&stage, owner).await;
    stage.remove("juliet@example.com").await;
    for _ in 0..2 {
        for number in [owner, stage.create("juliet@example.com").await] {
            let left = stage.store.archived(number, &Filter::default(), End::Oldest, 9).await.expect("reads");
            assert_eq!(left.len(), 0);
            assert_eq!(stage.store.count_archived(number, &Filter::default(), 9).await.expect("counts"), 0);
        }
        stage.remove("juliet@example.com").await;
    }
}

async fn purge(stage: &Stage, owner: AccountNumber, before: Millis, limit: u32) -> u64 {
    match stage.done(Write::PurgeArchive { owner, before, limit }).await {
        Written::Dropped(count) => count,
        other => panic!("{other:?}"),
    }
}

async fn the_oldest_go_first_and_leave_no_hole(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let friend = stage.create("romeo@example.com").await;
    let mut known = filled(&stage, owner).await;
    let others = filled(&stage, friend).await;
    let mut stage = stage;
    let nothing = purge(&stage, owner, NOON - 10_000, 10).await;
    assert_eq!(nothing, 0);
    for (before, limit) in [(NOON + 1_000_000, 100), (NOON + 1_000_000, 10_000), (NOON + 4_990_000, 10_000)] {
        let old = known.iter().take_while(|one| one.time < before).count().min(limit);
        assert!(old > 0);
        assert_eq!(purge(&stage, owner, before, limit as u32).await, old as u64);
        known.drain(..old);
        for filter in [Filter::default(), Filter { with: Some(known[0].peer), ..Filter::default() }] {
            compare(&stage, owner, &known, &filter).await;
        }
        stage = stage.restarted().await;
        compare(&stage, owner, &known, &Filter::default()).await;
        compare(&stage, friend, &others, &Filter::default()).await;
    }
    // Ids are not given again, even when the newest went.
    let newest = others[others.len() - 1].id;
    for owner in [owner, friend] {
        purge(&stage, owner, NOON * 2, 10_000).await;
    }
    let stage = stage.restarted().await;
    assert!(stage.queue(owner, "x").await > newest);
}

async fn what_was_purged_waits_on_until_it_is_taken(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let friend = stage.create("romeo@example.com").await;
    let waits = Role { waits: true, archived: true, sent: false };
    let both = |account, role| Owner { account, role, peer: Peer(1) };
    let owners = [both(owner, waits), both(friend, SENT)].into_iter().collect();
    let ids = stage.save(vec![Draft { time: NOON, owners, stanza: "<message/>".into() }]).await;
    assert_eq!(purge(&stage, owner, NOON + 1, 10).await, 1);
    let mut stage = stage;
    for _ in 0..2 {
        let waiting = stage.waiting(owner).await;
        let archived: Vec<bool> = waiting.iter().map(|message| message.archived).collect();
        assert_eq!(archived, [false], "it waits, and is in no archive of its owner's any more");
        assert_eq!(stage.store.count_archived(owner, &Filter::default(), 9).await, Ok(0));
        assert_eq!(stage.store.count_archived(friend, &Filter::default(), 9).await, Ok(1));
        stage = stage.restarted().await;
    }
    assert_eq!(purge(&stage, friend, NOON + 1, 10).await, 1);
    assert_eq!(stage.waiting(owner).await.len(), 1);
    let seen = stage.store.verify_archives().await.expect("reads");
    assert_eq!(seen, Verified { messages: 1, waiting: 1, ..Verified::default() });
    stage.store.taken(owner, ids[0]);
    let stage = stage.restarted().await;
    assert_eq!(stage.store.verify_archives().await, Ok(Verified::default()));
}

async fn a_look_over_a_sound_store_finds_no_fault(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let friend = stage.create("romeo@example.com").await;
    let waits = Role { waits: true, archived: true, sent: false };
    let both = |account, role| Owner { account, role, peer: Peer(1) };
    for first in (0..5_000).step_by(100) {
        let draft = |n: u64| {
            let owners = match n % 4 {
                0 => [Owner::queued(owner)].into_iter().collect(),
                _ => [both(friend, SENT), both(owner, waits)].into_iter().collect(),
            };
            Draft { time: NOON + n, owners, stanza: "<message/>".into() }
        };
        stage.save((first..first + 100).map(draft).collect()).await;
    }
    let all = Verified { messages: 5_000, archived: 7_500, waiting: 5_000, ..Verified::default() };
    let mut stage = stage;
    for _ in 0..2 {
        assert_eq!(stage.store.verify_archives().await, Ok(all));
        stage = stage.restarted().await;
    }
    assert_eq!(all.faults(), 0);
}

async fn what_waits_says_whether_it_is_archived(stage: Stage) {
    let owner = stage.create("juliet@example.com").await;
    let role = Role { waits: true, archived: true, sent: false };
    for own in [Owner { account: owner, role, peer: Peer(1) }, Owner::queued(owner)] {
        let owners = [own].into_iter().collect();
        stage.save(vec![Draft { time: NOON, owners, stanza: "x".into() }]).await;
    }
    let stage = stage.restarted().await;
    let archived: Vec<bool> = stage.waiting(owner).await.iter().map(|message| message.archived).collect();
    assert_eq!(archived, [true, false]);
}
