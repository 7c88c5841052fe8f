//! The chains: who is pushed, delivered and sent what, in which order.

use super::*;
use crate::storage::Subscription;

const LIMITS: RosterLimits = RosterLimits { items: 10, requests: 10 };

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

fn party(name: &str, home: Home) -> Party {
    Party { jid: jid(&format!("{name}@example.com")), home }
}

fn here() -> Home {
    Home::Here(Side::new(RosterVersion::default(), None, 0, 0))
}

/// Two local accounts that know nothing of each other.
fn romeo_and_juliet() -> Pair {
    Pair { from: party("romeo", here()), to: party("juliet", here()), limits: LIMITS }
}

/// The other one acts, from here on.
fn turn(pair: Pair) -> Pair {
    Pair { from: pair.to, to: pair.from, limits: pair.limits }
}

fn send(pair: &mut Pair, verb: Verb) -> Vec<String> {
    let effects = pair.send(verb, &Bytes::from_static(b"<presence/>")).expect("room in the rosters");
    written(&effects)
}

/// Each effect as a short line; the accounts by their names.
fn written(effects: &[Effect]) -> Vec<String> {
    let name = |jid: &BareJid| jid.local().unwrap_or_default().to_owned();
    let line = |effect: &Effect| match effect {
        Effect::Push { owner, item, version } => {
            let flags = [(item.ask, " ask"), (item.approved, " approved")];
            let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
            let subscription = item.subscription.as_str();
            format!(
                "push {}: {} {subscription}{flags} #{}",
                name(owner),
                name(&item.contact),
                version.counter
            )
        }
        Effect::PushRemoved { owner, contact, version } => {
            format!("push {}: {} removed #{}", name(owner), name(contact), version.counter)
        }
        Effect::Deliver { from, to, verb, stanza } => {
            let payload = if stanza.is_some() { " as it came" } else { "" };
            format!("{} to {}: {verb:?}{payload}", name(from), name(to)).to_lowercase()
        }
        Effect::SendPresence { from, to } => format!("{} to {}: presence", name(from), name(to)),
        Effect::NoRoom { owner } => format!("no room for {}", name(owner)),
        Effect::SendUnavailable { from, to } => format!("{} to {}: unavailable", name(from), name(to)),
    };
    effects.iter().map(line).collect()
}

fn item(party: &Party) -> Option<&RosterItem> {
    match &party.home {
        Home::Here(side) => side.item.as_ref(),
        _ => None,
    }
}

fn mutual() -> Pair {
    let mut pair = romeo_and_juliet();
    for _ in 0..2 {
        send(&mut pair, Verb::Subscribe);
        pair = turn(pair);
        send(&mut pair, Verb::Subscribed);
    }
    pair
}

#[test]
fn a_request_is_asked_and_granted() {
    let mut pair = romeo_and_juliet();
    assert_eq!(
        send(&mut pair, Verb::Subscribe),
        ["push romeo: juliet none ask #1", "romeo to juliet: subscribe as it came"]
    );
    // Section A.1: a mere request is noted, and is no item of the roster.
    let kept = item(&pair.to).expect("the request is kept");
    assert_eq!((kept.listed, kept.request.as_deref()), (false, Some(&b"<presence/>"[..])));

    let mut pair = turn(pair);
    assert_eq!(
        send(&mut pair, Verb::Subscribed),
        [
            "push juliet: romeo from #1",
            "juliet to romeo: subscribed",
            "push romeo: juliet to #2",
            "juliet to romeo: presence"
        ]
    );
    assert_eq!(item(&pair.from).and_then(|item| item.request.clone()), None);
    // Repeated: neither routed nor pushed.
    assert_eq!(send(&mut pair, Verb::Subscribed), [""; 0]);
}

#[test]
fn a_repeated_request_replaces_the_kept_one() {
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribe);
    let again = pair.send(Verb::Subscribe, &Bytes::from_static(b"<presence id='2'/>"));
    assert_eq!(again.map(|effects| written(&effects)), Ok(vec![]));
    let kept = item(&pair.to).and_then(|item| item.request.clone());
    assert_eq!(kept.as_deref(), Some(&b"<presence id='2'/>"[..]));
}

#[test]
fn an_answer_of_the_server_does_not_touch_the_askers_own_pending_request() {
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribe);
    let mut pair = turn(pair);
    pair.send(Verb::Subscribe, &Bytes::from_static(b"<presence id='hers'/>")).expect("room");
    // Each waits for the other now. Juliet no longer asks; Romeo's request to her stays as it came.
    let effects = pair.send(Verb::Unsubscribe, &Bytes::from_static(b"<presence id='other'/>")).expect("room");
    assert_eq!(written(&effects), ["push juliet: romeo none #2", "juliet to romeo: unsubscribe"]);
    let kept = item(&pair.from).and_then(|item| item.request.clone());
    assert_eq!(kept.as_deref(), Some(&b"<presence/>"[..]));
}

#[test]
fn who_is_subscribed_already_is_answered_by_the_server() {
    let mut pair = mutual();
    assert_eq!(send(&mut pair, Verb::Subscribe), ["juliet to romeo: presence"]);

    // A remote asker that has forgotten gets its answer sent.
    pair.from.home = Home::Remote;
    assert_eq!(
        send(&mut pair, Verb::Subscribe),
        ["juliet to romeo: subscribed", "juliet to romeo: presence"]
    );
}

#[test]
fn what_was_approved_beforehand_is_granted_at_once() {
    let mut pair = turn(romeo_and_juliet());
    assert_eq!(send(&mut pair, Verb::Subscribed), ["push juliet: romeo none approved #1"]);
    assert_eq!(send(&mut pair, Verb::Subscribed), [""; 0]);
    let mut pair = turn(pair);
    assert_eq!(
        send(&mut pair, Verb::Subscribe),
        [
            "push romeo: juliet none ask #1",
            "push juliet: romeo from approved #2",
            "juliet to romeo: subscribed",
            "push romeo: juliet to #2",
            "juliet to romeo: presence"
        ]
    );
}

#[test]
fn an_approval_is_taken_back_without_a_word_to_the_other() {
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribed);
    assert_eq!(send(&mut pair, Verb::Unsubscribed), ["push romeo: juliet none #2"]);
    assert_eq!(send(&mut pair, Verb::Unsubscribed), [""; 0]);
}

#[test]
fn a_denied_request_leaves_no_trace_and_shows_no_resource() {
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribe);
    let mut pair = turn(pair);
    assert_eq!(
        send(&mut pair, Verb::Unsubscribed),
        ["juliet to romeo: unsubscribed", "push romeo: juliet none #2"]
    );
    assert_eq!(item(&pair.from), None);
}

#[test]
fn a_cancelled_subscription_ends_with_unavailable_first() {
    let mut pair = mutual();
    assert_eq!(
        send(&mut pair, Verb::Unsubscribed),
        [
            "push romeo: juliet to #4",
            "romeo to juliet: unavailable",
            "romeo to juliet: unsubscribed",
            "push juliet: romeo from #4"
        ]
    );
}

#[test]
fn unsubscribing_is_answered_once_and_only_where_it_changes_something() {
    let mut pair = mutual();
    assert_eq!(
        send(&mut pair, Verb::Unsubscribe),
        [
            "push romeo: juliet from #4",
            "romeo to juliet: unsubscribe",
            "push juliet: romeo to #4",
            "juliet to romeo: unavailable"
        ]
    );
    assert_eq!(send(&mut pair, Verb::Unsubscribe), [""; 0]);
}

#[test]
fn the_other_server_is_told_and_answered() {
    let mut pair = mutual();
    pair.to.home = Home::Remote;
    assert_eq!(
        send(&mut pair, Verb::Unsubscribe),
        ["push romeo: juliet from #4", "romeo to juliet: unsubscribe"]
    );
    let mut pair = mutual();
    pair.from.home = Home::Remote;
    assert_eq!(
        send(&mut pair, Verb::Unsubscribe),
        [
            "romeo to juliet: unsubscribe",
            "push juliet: romeo to #4",
            "juliet to romeo: unavailable",
            "juliet to romeo: unsubscribed"
        ]
    );
}

#[test]
fn a_removed_item_ends_both_subscriptions() {
    let mut pair = mutual();
    assert_eq!(
        pair.remove().map(|effects| written(&effects)).expect("listed"),
        [
            "push romeo: juliet removed #4",
            "romeo to juliet: unsubscribe",
            "push juliet: romeo to #4",
            "juliet to romeo: unavailable",
            "romeo to juliet: unavailable",
            "romeo to juliet: unsubscribed",
            "push juliet: romeo none #5"
        ]
    );
    assert_eq!(item(&pair.to).map(|item| item.subscription), Some(Subscription::None));
    assert!(matches!(pair.remove(), Err(StoreError::Conflict(_))));
}

#[test]
fn a_removed_item_takes_its_open_request_with_it() {
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribe);
    assert_eq!(
        pair.remove().map(|effects| written(&effects)).expect("listed"),
        ["push romeo: juliet removed #2", "romeo to juliet: unsubscribe"]
    );
    assert_eq!(item(&pair.to), None);
    // A request that waits is not an item that could be removed.
    let mut pair = romeo_and_juliet();
    send(&mut pair, Verb::Subscribe);
    assert!(matches!(turn(pair).remove(), Err(StoreError::Conflict(_))));
}

#[test]
fn an_account_that_goes_is_taken_off_the_rosters() {
    let mut pair = mutual();
    let effects = written(&pair.remove_account());
    assert_eq!(
        effects,
        [
            "romeo to juliet: unsubscribe",
            "push juliet: romeo to #4",
            "juliet to romeo: unavailable",
            "romeo to juliet: unavailable",
            "romeo to juliet: unsubscribed",
            "push juliet: romeo none #5"
        ]
    );
}

#[test]
fn nobody_is_there_and_nothing_is_said() {
    let mut pair = romeo_and_juliet();
    pair.to.home = Home::Missing;
    assert_eq!(send(&mut pair, Verb::Subscribe), ["push romeo: juliet none ask #1"]);
    let mut pair = romeo_and_juliet();
    pair.from.home = Home::Missing;
    assert_eq!(send(&mut pair, Verb::Subscribe), [""; 0]);
    let mut pair = Pair { from: party("romeo", here()), to: party("romeo", here()), limits: LIMITS };
    assert_eq!(send(&mut pair, Verb::Subscribe), [""; 0]);
}

#[test]
fn rosters_are_bounded() {
    let full = || Home::Here(Side::new(RosterVersion::default(), None, 10, 10));
    let mut pair = Pair { from: party("romeo", full()), to: party("juliet", here()), limits: LIMITS };
    let refused = pair.send(Verb::Subscribe, &Bytes::new());
    assert!(matches!(refused, Err(StoreError::Full(_))));
    // The asked one's bound is none of the asker's business.
    let mut pair = Pair { from: party("romeo", here()), to: party("juliet", full()), limits: LIMITS };
    assert_eq!(send(&mut pair, Verb::Subscribe), ["push romeo: juliet none ask #1", "no room for juliet"]);
    assert_eq!(item(&pair.to), None);
}
