use super::*;
use crate::{Boot, Gone, NodeId};

fn id(number: u64) -> SessionId {
    SessionId { node: NodeId(1), boot: Boot(1), number }
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// A table with node 1 up, whose boot is 1.
fn table() -> SessionTable {
    let table = SessionTable::default();
    assert_eq!(up(&table, 1, 1), Reply::NodeUp { boot: Boot(1), gone: vec![] });
    table
}

fn up(table: &SessionTable, node: u32, start: u64) -> Reply {
    table.apply(Command::NodeUp { node: NodeId(node), start })
}

fn open(table: &SessionTable, text: &str, number: u64) -> Reply {
    table.apply(Command::Open { jid: jid(text), session: id(number) })
}

fn presence(table: &SessionTable, text: &str, number: u64, presence: Presence) -> Reply {
    table.apply(Command::Presence { jid: jid(text), session: id(number), presence })
}

#[test]
fn one_full_address_has_one_session() {
    let table = table();
    assert_eq!(open(&table, "r@m/a", 1), Reply::Opened(Opened { replaced: None }));
    assert_eq!(open(&table, "r@m/a", 1), Reply::Opened(Opened { replaced: None }), "idempotent");
    assert_eq!(open(&table, "r@m/a", 2), Reply::Opened(Opened { replaced: Some(id(1)) }));
    assert_eq!(table.find(&jid("r@m").bare()).len(), 1);
    assert_eq!(table.len(), 1);
    // The end of the replaced session does not take its successor with it.
    assert_eq!(table.apply(Command::Close { jid: jid("r@m/a"), session: id(1) }), Reply::Unknown);
    assert_eq!(table.find(&jid("r@m").bare())[0].session, id(2));
}

#[test]
fn what_waits_is_for_the_first_that_became_willing_and_then_for_the_next() {
    let table = table();
    open(&table, "r@m/a", 1);
    open(&table, "r@m/b", 2);
    let yes = First { first_willing: true, next_willing: None };
    let no = First { first_willing: false, next_willing: None };
    assert_eq!(presence(&table, "r@m/b", 2, Presence::Willing), Reply::Presence(yes));
    assert_eq!(presence(&table, "r@m/a", 1, Presence::Willing), Reply::Presence(no));
    assert_eq!(presence(&table, "r@m/b", 2, Presence::Willing), Reply::Presence(no), "was willing before");
    let closed = table.apply(Command::Close { jid: jid("r@m/b"), session: id(2) });
    assert_eq!(closed, Reply::Closed { next_willing: Some(id(1)) });
    table.apply(Command::Close { jid: jid("r@m/a"), session: id(1) });
    assert!(table.is_empty() && table.find(&jid("r@m").bare()).is_empty());
}

#[test]
fn a_node_that_goes_takes_its_sessions_and_says_who_is_next() {
    let table = table();
    let Reply::NodeUp { boot, .. } = up(&table, 2, 1000) else { panic!("it comes") };
    assert_eq!(boot, Boot(1000), "a start is a time");
    let there = |number| SessionId { node: NodeId(2), boot, number };
    table.apply(Command::Open { jid: jid("r@m/there"), session: there(1) });
    table.apply(Command::Open { jid: jid("j@c/there"), session: there(2) });
    table.apply(Command::Presence { jid: jid("r@m/there"), session: there(1), presence: Presence::Willing });
    open(&table, "r@m/here", 1);
    presence(&table, "r@m/here", 1, Presence::Willing);
    assert_eq!(table.sessions_of(NodeId(2)).len(), 2);

    let Reply::NodeDown { mut gone } = table.apply(Command::NodeDown { node: NodeId(2), boot }) else {
        panic!("it was up")
    };
    gone.sort_by_key(|g: &Gone| g.entry.session);
    assert_eq!(gone.iter().map(|g| g.entry.session).collect::<Vec<_>>(), [there(1), there(2)]);
    assert_eq!(gone[0].next_willing, Some(id(1)), "what waits for romeo is for his session here");
    assert_eq!(gone[1].next_willing, None);
    assert_eq!((table.len(), table.sessions_of(NodeId(2)).len()), (1, 0));
    assert!(table.find(&jid("j@c").bare()).is_empty());
    assert_eq!(table.apply(Command::NodeDown { node: NodeId(2), boot }), Reply::Unknown, "once");
}

#[test]
fn what_a_dead_node_had_asked_for_comes_too_late() {
    let table = table();
    table.apply(Command::NodeDown { node: NodeId(1), boot: Boot(1) });
    assert_eq!(open(&table, "r@m/a", 1), Reply::Unknown);
    assert_eq!(up(&table, 1, 1), Reply::Unknown, "its own coming too");
    let Reply::NodeUp { boot, .. } = up(&table, 1, 2) else { panic!("it comes back") };
    assert_eq!(up(&table, 1, 2), Reply::NodeUp { boot, gone: vec![] }, "idempotent");
    assert_eq!(
        table.apply(Command::NodeDown { node: NodeId(1), boot: Boot(1) }),
        Reply::Unknown,
        "another boot"
    );
    assert!(table.is_empty());
}

#[test]
fn who_comes_back_replaces_nobody() {
    let table = table();
    let Reply::NodeUp { boot, .. } = up(&table, 2, 50) else { panic!("it comes") };
    let session = |number| SessionId { node: NodeId(2), boot, number };
    open(&table, "r@m/a", 1);
    let reopen = |text: &str, number| {
        let presence = Presence::Willing;
        table.apply(Command::Reopen { jid: jid(text), session: session(number), presence })
    };
    assert_eq!(reopen("r@m/a", 1), Reply::Taken);
    let first = First { first_willing: true, next_willing: None };
    assert_eq!(reopen("r@m/b", 2), Reply::Reopened(first));
    assert_eq!(table.find(&jid("r@m").bare()).len(), 2);
}

#[test]
fn a_batch_is_applied_once_and_in_its_order() {
    let table = table();
    let batch = |number, commands| Batch { node: NodeId(1), boot: Boot(1), number, commands };
    let open = |n| Command::Open { jid: jid("r@m/a"), session: id(n) };
    let close = |n| Command::Close { jid: jid("r@m/a"), session: id(n) };
    let second = batch(2, vec![open(1), close(1)]);
    let BatchReply::Applied(replies) = table.apply_batch(&second) else { panic!("it is new") };
    assert_eq!(replies.len(), 2);
    assert_eq!(table.apply_batch(&second), BatchReply::Repeated);
    assert_eq!(table.apply_batch(&batch(1, vec![open(1)])), BatchReply::Repeated, "given up, and late");
    assert!(table.is_empty());
    let other = Batch { boot: Boot(7), ..batch(3, vec![open(1)]) };
    assert_eq!(table.apply_batch(&other), BatchReply::Stale);
}

#[test]
fn a_snapshot_brings_everything_back_and_damage_nothing() {
    let table = table();
    for number in 0..3000 {
        open(&table, &format!("user{number}@m/a"), number);
        open(&table, &format!("user{number}@m/\u{e9}t\u{e9}"), 10_000 + number);
    }
    presence(&table, "user7@m/a", 7, Presence::Willing);
    up(&table, 2, 77);
    let mut bytes = Vec::new();
    table.freeze().write(&mut bytes).unwrap();

    let other = SessionTable::default();
    other.restore(&mut &bytes[..]).unwrap();
    assert_eq!((other.len(), other.nodes()), (6000, table.nodes()));
    let account = jid("user7@m").bare();
    assert_eq!(other.find(&account), table.find(&account));
    let gone = |t: &SessionTable| match t.apply(Command::NodeDown { node: NodeId(1), boot: Boot(1) }) {
        Reply::NodeDown { gone } => gone.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((gone(&other), gone(&table)), (6000, 6000));
    assert!(other.is_empty());

    for at in [0, 6, 20, 4000, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let keeps = SessionTable::default();
        assert!(keeps.restore(&mut &damaged[..]).is_err(), "byte {at}");
        assert!(keeps.is_empty());
    }
    assert!(other.restore(&mut &bytes[..bytes.len() - 5]).is_err());
}
