//! Lists that a client fetches once and is told the changes of from then on: the roster and the block
//! list.
//!
//! A change may come between the reading of a list and the moment at which it lies in the mailbox. Such
//! a change is not pushed, since the client would take the older list for the newer; it is noted, and
//! who answers the client looks once more.

use std::sync::atomic::Ordering;

use super::{Session, Wants};

impl Wants {
    /// The list is being read for the client. Only `Roster` and `Blocklist` are lists.
    fn reading(self) -> u8 {
        (self as u8) << 4
    }

    /// It changed meanwhile.
    fn changed(self) -> u8 {
        (self as u8) << 6
    }
}

impl Session {
    /// To be called before the list is read for the client.
    pub fn begin_list(&self, list: Wants) {
        self.flags.fetch_and(!list.changed(), Ordering::SeqCst);
        self.flags.fetch_or(list.reading(), Ordering::SeqCst);
    }

    /// The list has changed, and that is stored. Is the client to be told?
    pub fn is_told_of(&self, list: Wants) -> bool {
        let flags = self.flags.load(Ordering::SeqCst);
        if flags & list.reading() == 0 {
            return flags & list as u8 != 0;
        }
        let before = self.flags.fetch_or(list.changed(), Ordering::SeqCst);
        before & list.reading() == 0
    }

    /// The list is in the mailbox: changes are pushed from now on. False when there was one meanwhile:
    /// it is to be looked for, and pushed, before this is called again.
    pub fn end_list(&self, list: Wants) -> bool {
        let ended = self.flags.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |flags| {
            let changed = flags & list.changed() != 0;
            let kept = flags & !list.changed();
            Some(if changed { kept } else { kept & !list.reading() | list as u8 })
        });
        ended.is_ok_and(|before| before & list.changed() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bare_session;

    #[test]
    fn a_change_during_the_reading_is_looked_for_and_not_pushed() {
        for list in [Wants::Roster, Wants::Blocklist] {
            let session = bare_session("romeo@example.com/orchard");
            assert!(!session.is_told_of(list), "it never asked");
            session.begin_list(list);
            assert!(!session.is_told_of(list));
            assert!(!session.end_list(list), "there was a change");
            assert!(session.end_list(list));
            assert!(session.is_told_of(list) && session.wants(list));
            // A client may ask again.
            session.begin_list(list);
            assert!(!session.is_told_of(list));
            assert!(!session.end_list(list));
            assert!(session.end_list(list));
        }
    }
}
