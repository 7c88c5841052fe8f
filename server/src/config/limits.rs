//! `[limits]`: every bound that is not one module's own.

use super::Limit;

settings! {
    /// Bounds: nothing grows without one.
    pub struct Limits {
        /// Connections at the same time.
        now connections: u32 = 100_000, in 1..=100_000_000;
        /// Connections from one address at the same time; or "none".
        now connections_per_address: Limit = Limit::AtMost(1_000), in 1..=100_000_000;
        /// How long a connection may take to log in and bind, its TLS handshake included.
        new unauthenticated_seconds: u32 = 60, in 1..=3_600;
        /// What it may send until then.
        new unauthenticated_bytes: u32 = 65_536, in 10_000..=16_777_216;
        /// The size of a stanza. RFC 6120 section 13.12 wants at least 10 000.
        new stanza_bytes: u32 = 262_144, in 10_000..=16_777_216;
        /// Elements in a stanza, itself included.
        new stanza_elements: u32 = 10_000, in 16..=1_000_000;
        /// How deep elements of a stanza lie in one another.
        new stanza_depth: u32 = 100, in 8..=1_000;
        /// Attributes of an element.
        new stanza_attributes: u32 = 100, in 16..=1_024;
        /// What a session may send per second in the long run; a faster one is read more slowly. Or "none".
        new bytes_per_second: Limit = Limit::AtMost(1 << 20), in 1_000..=1 << 40;
        /// What it may send at once after a silence.
        new burst_bytes: u64 = 4 << 20, in 10_000..=1 << 40;
        /// Sessions of an account. At the bound the oldest that waits to be resumed ends for a new one.
        new sessions_per_account: u32 = 10, in 1..=10_000;
        /// Stanzas that wait for a session to write them; a session that is slower ends.
        new mailbox_stanzas: u32 = 4_096, in 64..=1_000_000;
        /// The same in bytes.
        new mailbox_bytes: u32 = 1 << 20, in 65_536..=1 << 30;
        /// Stanzas that a client with stream management (XEP-0198) has not acknowledged, and those that are
        /// held for one that is away. More wait in its mailbox.
        new unacknowledged_stanzas: u32 = 4_096, in 64..=1_000_000;
        /// The same in bytes.
        new unacknowledged_bytes: u32 = 1 << 20, in 65_536..=1 << 30;
        /// Stanzas of one session that wait for their commit; then it is read no further.
        new pending_commit_stanzas: u32 = 64, in 1..=65_536;
        /// The same in bytes.
        new pending_commit_bytes: u32 = 256 << 10, in 1..=1 << 30;
        /// Addresses to which a session sent directed presence.
        now directed_presences: u32 = 1_000, in 1..=1_000_000;
        /// Items of a roster.
        now roster_items: u32 = 5_000, in 1..=1_000_000;
        /// Groups of a roster item.
        now roster_item_groups: u32 = 64, in 1..=10_000;
        /// The name of a roster item or of a group.
        now roster_name_bytes: u32 = 1_023, in 1..=65_536;
        /// Subscription requests that wait for an account's answer.
        now subscription_requests: u32 = 1_000, in 1..=1_000_000;
        /// Items of a block list.
        now block_list_items: u32 = 1_000, in 1..=1_000_000;
        /// Messages that wait for an account; a sender beyond that is told.
        now offline_messages: u32 = 1_000, in 1..=10_000_000;
        /// An account's vCard.
        now vcard_bytes: u32 = 256 << 10, in 1_024..=16 << 20;
        /// One element of an account's private XML.
        now private_bytes: u32 = 64 << 10, in 1_024..=16 << 20;
        /// Elements of an account's private XML.
        now private_elements: u32 = 128, in 1..=100_000;
    }
}
