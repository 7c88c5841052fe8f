//! Plays must be able to fail, and say why in a way that helps.

use meerkat_tests::play::{Failure, perform_text};

const HEAD: &str = "# RFC 6121 section 5\ncast: romeo/orchard, juliet/balcony\nromeo and juliet connect\n\
    romeo sends\n    <message to='juliet@localhost/balcony' id='m1'><body>Ay me!</body></message>\n";

/// The failure of a play in which Romeo has just said `m1` to Juliet.
fn failure(rest: &str) -> Failure {
    perform_text(&format!("{HEAD}{rest}"), "a.play").expect_err("a failure")
}

#[test]
fn it_succeeds_when_all_is_as_expected() {
    let rest = "juliet receives\n    <message id='m1' from='{romeo}'><body>Ay me!</body></message>\n";
    assert_eq!(perform_text(&format!("{HEAD}{rest}"), "a.play"), Ok(()));
}

#[test]
fn a_stanza_that_differs() {
    let failure = failure("juliet receives\n    <message id='m2'/>\n");
    assert_eq!((failure.line, failure.text.as_str()), (6, "juliet receives"));
    assert!(failure.reason.starts_with("expected: <message id='m2'/>\ngot:      <message from='romeo@"));
    assert!(failure.reason.ends_with("because   the attribute id of <message/> is 'm1', not 'm2'"));
    assert!(failure.transcript.iter().any(|line| line.contains("romeo > <message")), "{failure}");
}

#[test]
fn a_stanza_that_does_not_come() {
    let failure = failure("romeo receives\n    <message id='m1'/>\n");
    assert_eq!(failure.reason, "expected: <message id='m1'/>\ngot:      nothing");
}

#[test]
fn a_stanza_that_comes_unexpected() {
    let failure = failure("juliet receives nothing\n");
    assert!(failure.reason.starts_with("expected: nothing\ngot:      <message"), "{failure}");
}

#[test]
fn a_stanza_that_is_left_at_the_end() {
    let failure = failure("romeo receives nothing\n");
    assert!(failure.reason.starts_with("juliet has received what nobody expected:\n<message"), "{failure}");
}

#[test]
fn a_child_too_many() {
    let failure = failure("juliet receives\n    <message><only/><body>Ay me!</body></message>\n");
    assert!(failure.reason.contains("more children than 1"), "{failure}");
}

#[test]
fn a_stream_that_does_not_end() {
    let failure = failure("romeo's stream ends with conflict\n");
    assert!(
        failure.reason.starts_with("expected: <error xmlns='http://etherx.jabber.org/streams'/>"),
        "{failure}"
    );
}

#[test]
fn a_stream_that_ends_for_another_reason() {
    let failure =
        failure("romeo sends\n    <foo xmlns='urn:example:foo'/>\nromeo's stream ends with conflict\n");
    assert!(
        failure.reason.starts_with("expected: the stream error conflict\ngot:      <stream:error>"),
        "{failure}"
    );
}

#[test]
fn a_store_that_holds_another_number() {
    assert_eq!(failure("the store holds 7 messages\n").reason, "expected: 7 messages\ngot:      1");
}

#[test]
fn a_configuration_that_is_wrong() {
    let play = HEAD.replace("romeo and", "config:\n    limits.stanza_bites = 1\nromeo and");
    let failure = perform_text(&format!("{play}juliet receives nothing\n"), "a.play").expect_err("a failure");
    assert!(failure.reason.contains("stanza_bites"), "{failure}");
}
