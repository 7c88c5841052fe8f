//! The writes that a store applies, and what each of them gives back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xmpp_core::sasl::ScramSecret;
use xmpp_core::{BareJid, Jid};

use super::subscription::{Effect, Verb};
use super::{
    AccountNumber, ColdChange, Deleted, File, FileQuota, Lease, MessageId, Millis, Place, RosterItem,
    RosterLimits, RosterVersion,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Write {
    /// `Conflict` when the account exists. `roster_epoch` is random: a roster version of an earlier
    /// account of this name means nothing to this one.
    CreateAccount {
        jid: BareJid,
        secrets: Vec<ScramSecret>,
        time: Millis,
        roster_epoch: u64,
    },
    /// `Conflict` when the account does not exist.
    SetSecrets {
        jid: BareJid,
        secrets: Vec<ScramSecret>,
    },
    /// Bans with a reason, or lifts the ban. `Conflict` when the account does not exist.
    SetBan {
        jid: BareJid,
        reason: Option<String>,
    },
    /// Removes the account and everything it owns, its entries on local contacts' rosters too
    /// (as `unsubscribe` and `unsubscribed` would). `Written::Effects` says who is to learn of it.
    RemoveAccount {
        jid: BareJid,
    },
    SetLastLogout {
        owner: AccountNumber,
        time: Millis,
        status: String,
    },

    /// A client's roster set: name and groups (RFC 6121 section 2.3). `Full` above `limit` items.
    SetRosterItem {
        owner: AccountNumber,
        contact: BareJid,
        name: String,
        groups: Vec<String>,
        limit: u32,
    },
    /// A client's removal (section 2.5), with what it does to a local contact's side in the same
    /// transaction. `Conflict` when there is no such item.
    RemoveRosterItem {
        owner: BareJid,
        contact: BareJid,
        contact_is_local: bool,
    },
    /// Presence of a subscription type, applied to the sides that are local, by the tables of
    /// RFC 6121 appendix A, in one transaction. `stanza` is kept while a request waits.
    /// An account that does not exist on a local side is passed over in silence.
    Subscribe {
        from: BareJid,
        to: BareJid,
        verb: Verb,
        from_is_local: bool,
        to_is_local: bool,
        stanza: Bytes,
        /// `Full` where `from` would need an item more, silence and no change where `to` would need a
        /// request more.
        limits: RosterLimits,
    },
    /// The operator's hand: sets name, groups and subscription of one side as given.
    PutRosterItem {
        owner: AccountNumber,
        item: RosterItem,
        limit: u32,
    },

    /// Adds to the block list; `Full` above `limit` entries, and none is added. `Written::Jids` says
    /// which are new.
    Block {
        owner: AccountNumber,
        jids: Vec<Jid>,
        limit: u32,
    },
    /// Removes from it; all entries when `jids` is empty. `Written::Jids` says which were there.
    Unblock {
        owner: AccountNumber,
        jids: Vec<Jid>,
    },

    /// `Full` when the collection would have more than `limit_bytes` in all, keys and values.
    SetItem {
        owner: AccountNumber,
        collection: String,
        key: String,
        value: Bytes,
        limit_bytes: u64,
    },
    RemoveItem {
        owner: AccountNumber,
        collection: String,
        key: String,
    },
    /// Keeps at most `limit` of the collection, the oldest go.
    SetSharedItem {
        collection: String,
        key: String,
        value: Bytes,
        limit: u32,
    },
    /// Sets such a value only if it is now what was expected, `None` where there is to be none; else `Conflict`. It
    /// is never the one that goes where a collection is full.
    SwapSharedItem {
        collection: String,
        key: String,
        expected: Option<Bytes>,
        value: Bytes,
    },

    /// Drops the oldest entries of the owner's archive, at most `limit`, up to the first that came at
    /// `before` or later: an archive never gets a hole. What waits for the owner waits on, and a message goes
    /// with its last entry. `Written::Dropped` says how many went; fewer than `limit`: there is no more.
    PurgeArchive {
        owner: AccountNumber,
        before: Millis,
        limit: u32,
    },

    /// Grants a slot. `Full` when the owner's slots would come to more than the quota, which this one counts for.
    GrantFile {
        file: File,
        quota: FileQuota,
    },
    /// The file has been uploaded. `Conflict` when it is not to be (any more): no slot, or one that was used, or
    /// nobody's.
    StoreFile {
        name: String,
        /// The blob that it is now (`BlobPlace`), of the attempt that came first.
        blob: String,
        /// What the upload said, where the slot did not.
        media_type: Option<String>,
    },
    /// Forgets a file whose blob is gone. One that is not known is ignored.
    RemoveFile {
        name: String,
    },

    /// The event stream has these rows of the outbox: exactly they are deleted. `Written::Deleted` says how many
    /// were still there.
    ConfirmEvents {
        places: Vec<Place>,
    },
    /// Throws away some of the oldest `limit` rows of the outbox: so many that they come to `bytes`, and those
    /// written earlier than `before`. `Written::Deleted` says what went.
    DiscardEvents {
        bytes: u64,
        before: Millis,
        limit: u32,
    },

    /// Changes the catalogue of the cold archive. A store without one refuses.
    Cold(ColdChange),

    /// A part of a job: `Conflict`, and nothing is done, unless the lease is still held.
    Under {
        lease: Lease,
        write: Box<Write>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    Done,
    Account(AccountNumber),
    /// The item as it stands now, and the version that this change made.
    Item(RosterItem, RosterVersion),
    Effects(Vec<Effect>),
    Jids(Vec<Jid>),
    Dropped(u64),
    Deleted(Deleted),
    /// So many entries that are in files went; the last message that was looked at, if there was one.
    Cleared {
        last: Option<MessageId>,
        entries: u64,
    },
}
