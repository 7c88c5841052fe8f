//! The tables of RFC 6121 appendix A, as functions from a state to a state.
//!
//! Each table has nine rows, and its rows follow from one sentence, which is what stands here; the
//! test below lists every row as the RFC does.

use bytes::Bytes;

use super::Verb;
use crate::storage::{RosterItem, Subscription};

/// How a user stands to a contact: one of the nine states of section A.1, and the pre-approval of
/// section 3.4 beside it. Never pending in where it is `from`, never pending out where it is `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    pub to: bool,
    pub from: bool,
    pub pending_out: bool,
    pub pending_in: bool,
    pub approved: bool,
}

/// What becomes of a stanza that the user sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbound {
    pub state: State,
    pub route: bool,
}

/// What becomes of a stanza that the user received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    pub state: State,
    pub deliver: bool,
    /// What the server answers on the user's behalf.
    pub reply: Option<Verb>,
}

/// Section A.2, tables 2 to 5.
pub fn outbound(state: State, verb: Verb) -> Outbound {
    match verb {
        // Always routed: the contact's server may have forgotten (tables 2 and 3).
        Verb::Subscribe => Outbound { state: State { pending_out: !state.to, ..state }, route: true },
        Verb::Unsubscribe => {
            Outbound { state: State { to: false, pending_out: false, ..state }, route: true }
        }
        // Table 4: an answer is routed once; without a question it is a pre-approval.
        Verb::Subscribed if state.pending_in => {
            Outbound { state: State { pending_in: false, from: true, ..state }, route: true }
        }
        Verb::Subscribed => {
            let approved = state.approved || !state.from;
            Outbound { state: State { approved, ..state }, route: false }
        }
        // Table 5: routed if it takes something away. It ends a pre-approval, too (section 3.4.2).
        Verb::Unsubscribed => Outbound {
            state: State { from: false, pending_in: false, approved: false, ..state },
            route: state.from || state.pending_in,
        },
    }
}

/// Section A.3, tables 6 to 9.
pub fn inbound(state: State, verb: Verb) -> Inbound {
    let ignored = Inbound { state, deliver: false, reply: None };
    match verb {
        // Table 6: granted already, or beforehand (section 3.4.2).
        Verb::Subscribe if state.from || state.approved => {
            let state = State { from: true, pending_in: false, ..state };
            Inbound { state, reply: Some(Verb::Subscribed), ..ignored }
        }
        // A repeated question is not delivered again; its newest wording is what is kept.
        Verb::Subscribe => {
            Inbound { state: State { pending_in: true, ..state }, deliver: !state.pending_in, reply: None }
        }
        // Table 7.
        Verb::Unsubscribe if state.from || state.pending_in => Inbound {
            state: State { from: false, pending_in: false, ..state },
            deliver: true,
            reply: Some(Verb::Unsubscribed),
        },
        // Table 8: only who asked is answered.
        Verb::Subscribed if state.pending_out => {
            Inbound { state: State { to: true, pending_out: false, ..state }, deliver: true, reply: None }
        }
        // Table 9.
        Verb::Unsubscribed if state.to || state.pending_out => {
            Inbound { state: State { to: false, pending_out: false, ..state }, deliver: true, reply: None }
        }
        Verb::Unsubscribe | Verb::Subscribed | Verb::Unsubscribed => ignored,
    }
}

impl State {
    /// A contact that is not in the roster is in the state "None" (section A.1).
    pub fn of(item: Option<&RosterItem>) -> State {
        let Some(item) = item else { return State::default() };
        State {
            to: item.subscription.to(),
            from: item.subscription.from(),
            pending_out: item.ask && !item.subscription.to(),
            pending_in: item.request.is_some() && !item.subscription.from(),
            approved: item.approved,
        }
    }

    /// Is this more than a pending request, so that the contact is an item of the roster?
    pub fn is_shown(self) -> bool {
        self.to || self.from || self.pending_out || self.approved
    }

    /// `stanza`: the request, where this state newly has one or has one again.
    pub fn write_to(self, item: &mut RosterItem, stanza: &Bytes) {
        item.subscription = Subscription::new(self.to, self.from);
        item.ask = self.pending_out;
        item.approved = self.approved;
        if !self.pending_in {
            item.request = None;
        } else if item.request.is_none() || !stanza.is_empty() {
            item.request = Some(stanza.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: State =
        State { to: false, from: false, pending_out: false, pending_in: false, approved: false };
    const NONE_OUT: State = State { pending_out: true, ..NONE };
    const NONE_IN: State = State { pending_in: true, ..NONE };
    const NONE_OUT_IN: State = State { pending_out: true, pending_in: true, ..NONE };
    const TO: State = State { to: true, ..NONE };
    const TO_IN: State = State { to: true, pending_in: true, ..NONE };
    const FROM: State = State { from: true, ..NONE };
    const FROM_OUT: State = State { from: true, pending_out: true, ..NONE };
    const BOTH: State = State { to: true, from: true, ..NONE };

    const fn approved(state: State) -> State {
        State { approved: true, ..state }
    }

    /// The rows of each table of section A.2: existing state, route?, new state.
    type OutboundRow = (State, bool, State);
    const OUTBOUND: [(Verb, [OutboundRow; 9]); 4] = [
        (
            Verb::Subscribe,
            [
                (NONE, true, NONE_OUT),
                (NONE_OUT, true, NONE_OUT),
                (NONE_IN, true, NONE_OUT_IN),
                (NONE_OUT_IN, true, NONE_OUT_IN),
                (TO, true, TO),
                (TO_IN, true, TO_IN),
                (FROM, true, FROM_OUT),
                (FROM_OUT, true, FROM_OUT),
                (BOTH, true, BOTH),
            ],
        ),
        (
            Verb::Unsubscribe,
            [
                (NONE, true, NONE),
                (NONE_OUT, true, NONE),
                (NONE_IN, true, NONE_IN),
                (NONE_OUT_IN, true, NONE_IN),
                (TO, true, NONE),
                (TO_IN, true, NONE_IN),
                (FROM, true, FROM),
                (FROM_OUT, true, FROM),
                (BOTH, true, FROM),
            ],
        ),
        (
            Verb::Subscribed,
            [
                (NONE, false, approved(NONE)),
                (NONE_OUT, false, approved(NONE_OUT)),
                (NONE_IN, true, FROM),
                (NONE_OUT_IN, true, FROM_OUT),
                (TO, false, approved(TO)),
                (TO_IN, true, BOTH),
                (FROM, false, FROM),
                (FROM_OUT, false, FROM_OUT),
                (BOTH, false, BOTH),
            ],
        ),
        (
            Verb::Unsubscribed,
            [
                (NONE, false, NONE),
                (NONE_OUT, false, NONE_OUT),
                (NONE_IN, true, NONE),
                (NONE_OUT_IN, true, NONE_OUT),
                (TO, false, TO),
                (TO_IN, true, TO),
                (FROM, true, NONE),
                (FROM_OUT, true, NONE_OUT),
                (BOTH, true, TO),
            ],
        ),
    ];

    /// The rows of each table of section A.3: existing state, deliver?, new state, answered with.
    type InboundRow = (State, bool, State, Option<Verb>);
    const SUBSCRIBED: Option<Verb> = Some(Verb::Subscribed);
    const UNSUBSCRIBED: Option<Verb> = Some(Verb::Unsubscribed);
    const INBOUND: [(Verb, [InboundRow; 9]); 4] = [
        (
            Verb::Subscribe,
            [
                (NONE, true, NONE_IN, None),
                (NONE_OUT, true, NONE_OUT_IN, None),
                (NONE_IN, false, NONE_IN, None),
                (NONE_OUT_IN, false, NONE_OUT_IN, None),
                (TO, true, TO_IN, None),
                (TO_IN, false, TO_IN, None),
                (FROM, false, FROM, SUBSCRIBED),
                (FROM_OUT, false, FROM_OUT, SUBSCRIBED),
                (BOTH, false, BOTH, SUBSCRIBED),
            ],
        ),
        (
            Verb::Unsubscribe,
            [
                (NONE, false, NONE, None),
                (NONE_OUT, false, NONE_OUT, None),
                (NONE_IN, true, NONE, UNSUBSCRIBED),
                (NONE_OUT_IN, true, NONE_OUT, UNSUBSCRIBED),
                (TO, false, TO, None),
                (TO_IN, true, TO, UNSUBSCRIBED),
                (FROM, true, NONE, UNSUBSCRIBED),
                (FROM_OUT, true, NONE_OUT, UNSUBSCRIBED),
                (BOTH, true, TO, UNSUBSCRIBED),
            ],
        ),
        (
            Verb::Subscribed,
            [
                (NONE, false, NONE, None),
                (NONE_OUT, true, TO, None),
                (NONE_IN, false, NONE_IN, None),
                (NONE_OUT_IN, true, TO_IN, None),
                (TO, false, TO, None),
                (TO_IN, false, TO_IN, None),
                (FROM, false, FROM, None),
                (FROM_OUT, true, BOTH, None),
                (BOTH, false, BOTH, None),
            ],
        ),
        (
            Verb::Unsubscribed,
            [
                (NONE, false, NONE, None),
                (NONE_OUT, true, NONE, None),
                (NONE_IN, false, NONE_IN, None),
                (NONE_OUT_IN, true, NONE_IN, None),
                (TO, true, NONE, None),
                (TO_IN, true, NONE_IN, None),
                (FROM, false, FROM, None),
                (FROM_OUT, true, FROM, None),
                (BOTH, true, FROM, None),
            ],
        ),
    ];

    #[test]
    fn every_cell_of_section_a_2() {
        for (verb, rows) in OUTBOUND {
            for (before, route, after) in rows {
                assert_eq!(
                    outbound(before, verb),
                    Outbound { state: after, route },
                    "{verb:?} in {before:?}"
                );
            }
        }
    }

    #[test]
    fn every_cell_of_section_a_3() {
        for (verb, rows) in INBOUND {
            for (before, deliver, state, reply) in rows {
                let expected = Inbound { state, deliver, reply };
                assert_eq!(inbound(before, verb), expected, "{verb:?} in {before:?}");
            }
        }
    }

    /// Section 3.4.2, and footnote 1 of table 6.
    #[test]
    fn what_was_approved_beforehand_is_granted_without_asking() {
        for (before, after) in [(NONE, FROM), (NONE_OUT, FROM_OUT), (TO, BOTH)] {
            let expected = Inbound { state: approved(after), deliver: false, reply: SUBSCRIBED };
            assert_eq!(inbound(approved(before), Verb::Subscribe), expected);
            let taken_back = Outbound { state: before, route: false };
            assert_eq!(outbound(approved(before), Verb::Unsubscribed), taken_back);
        }
    }

    #[test]
    fn a_state_survives_its_roster_item() {
        let states = OUTBOUND[0].1.map(|row| row.0);
        for state in states.into_iter().chain(states.map(approved)) {
            let mut item =
                RosterItem::new(xmpp_core::BareJid::parse("juliet@example.com").expect("an address"));
            state.write_to(&mut item, &Bytes::from_static(b"<presence/>"));
            assert_eq!(State::of(Some(&item)), state);
        }
    }
}
