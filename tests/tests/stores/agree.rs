//! Two stores that are told the same say the same: the one in memory is what plays rely on.

use bytes::Bytes;
use server::storage::subscription::Verb;
use server::storage::{
    AccountNumber, MessageId, RosterItem, RosterLimits, RosterVersion, StoreError, Subscription, Write,
    Written,
};
use xmpp_core::Jid;

use crate::stage::{Stage, bare};

const NAMES: [&str; 5] = [
    "romeo@example.com",
    "juliet@example.com",
    "nurse@example.com",
    "paris@example.net",
    "escalus@verona.example",
];
const STEPS: u64 = 400;

#[tokio::test]
async fn sqlite_does_as_memory_does() {
    for seed in 1..=3 {
        agree(seed, Stage::sqlite().await).await;
    }
}

#[tokio::test]
async fn postgres_does_as_memory_does() {
    for seed in 1..=3 {
        agree(seed, Stage::postgres().await).await;
    }
}

async fn agree(seed: u64, mut durable: Stage) {
    let memory = Stage::memory();
    let mut chance = Chance::new(seed);
    for step in 0..STEPS {
        let write = chance.write();
        let expected = memory.write(write.clone()).await.map_err(kind);
        let done = durable.write(write.clone()).await.map_err(kind);
        assert_eq!(done, expected, "seed {seed}, step {step}: {write:?}");
        if let Written::Account(number) = expected.unwrap_or(Written::Done) {
            chance.owners.push(number);
        }
        let owner = chance.owner();
        if chance.owners.contains(&owner) {
            let body = step.to_string();
            memory.queue(owner, &body).await;
            durable.queue(owner, &body).await;
        }
        // One of the first ones is taken, each by its own id.
        let place = chance.below(3) as usize;
        let owner = chance.owner();
        for stage in [&memory, &durable] {
            if let Some(message) = stage.waiting(owner).await.get(place) {
                stage.store.taken(owner, message.id);
            }
        }
        if chance.below(100) == 0 {
            durable = durable.restarted().await;
            // Who went before it started is nobody that a draft of the server could name.
            chance.owners = living(&memory).await;
        }
        if step % 50 == 0 {
            compare(&memory, &durable, &chance).await;
        }
    }
    compare(&memory, &durable, &chance).await;
}

async fn living(stage: &Stage) -> Vec<AccountNumber> {
    let accounts = stage.store.accounts("example.com", None, 100).await.expect("reads");
    accounts.iter().map(|account| account.number).collect()
}

/// Everything that can be read.
async fn compare(memory: &Stage, durable: &Stage, chance: &Chance) {
    let (one, other) = (&memory.store, &durable.store);
    for name in NAMES {
        assert_eq!(one.account(&bare(name)).await, other.account(&bare(name)).await);
    }
    for owner in chance.owners.iter().copied().chain([AccountNumber(999)]) {
        assert_eq!(memory.bodies(owner).await, durable.bodies(owner).await, "{owner:?}");
        let (ours, theirs) =
            (one.roster(owner).await.expect("reads"), other.roster(owner).await.expect("reads"));
        assert_eq!((ours.version, ours.items), (theirs.version, theirs.items), "{owner:?}");
        for back in [0, 1, 5, 1000] {
            let counter = ours.version.counter.saturating_sub(back);
            let version = RosterVersion { counter, ..ours.version };
            let changes = one.roster_since(owner, version).await.map(|changes| format!("{changes:?}"));
            assert_eq!(
                changes,
                other.roster_since(owner, version).await.map(|changes| format!("{changes:?}"))
            );
        }
        assert_eq!(one.subscription_requests(owner).await, other.subscription_requests(owner).await);
        assert_eq!(one.blocked(owner).await, other.blocked(owner).await);
        assert_eq!(one.items(owner, "private").await, other.items(owner, "private").await);
        assert_eq!(one.last_logout(owner).await, other.last_logout(owner).await);
        let nothing = one.waiting(owner, MessageId(u64::MAX >> 1), 1).await.map(|waiting| waiting.len());
        assert_eq!(nothing, Ok(0));
    }
    for key in ["0", "1", "2", "3"] {
        assert_eq!(one.shared_item("caps", key).await, other.shared_item("caps", key).await);
    }
}

/// The sentences may differ; what is refused, and how, may not.
fn kind(error: StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Conflict(_) => "conflict",
        StoreError::Full(_) => "full",
        StoreError::Damaged(_) => "damaged",
    }
}

/// The same choices for the same seed (xorshift64*).
struct Chance {
    state: u64,
    owners: Vec<AccountNumber>,
}

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance { state: seed, owners: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    /// One that is there, one that went, or one that never was.
    fn owner(&mut self) -> AccountNumber {
        let number = self.below(self.owners.len() as u64 + 1) as usize;
        self.owners.get(number).copied().unwrap_or(AccountNumber(999))
    }

    fn write(&mut self) -> Write {
        let owner = self.owner();
        let (from, to) = (self.one_of(&NAMES), self.one_of(&NAMES));
        let is_local = |jid: &str| jid.ends_with("@example.com");
        let number = self.below(4).to_string();
        match self.below(24) {
            0..3 => {
                let jid = bare(self.one_of(&NAMES[..3]));
                Write::CreateAccount { jid, secrets: vec![], time: 5, roster_epoch: self.below(9) }
            }
            3 if self.below(4) == 0 => Write::RemoveAccount { jid: bare(from) },
            4 => Write::SetBan { jid: bare(from), reason: Some(number).filter(|number| number != "0") },
            5 => Write::SetLastLogout { owner, time: self.below(1 << 40), status: number },
            6 | 7 => Write::Block { owner, jids: self.jids(), limit: 4 },
            8 => Write::Unblock { owner, jids: self.jids() },
            9 | 10 => {
                let (collection, value) =
                    ("private".to_owned(), Bytes::from("x".repeat(self.below(20) as usize)));
                Write::SetItem { owner, collection, key: number, value, limit_bytes: 40 }
            }
            11 => Write::RemoveItem { owner, collection: "private".to_owned(), key: number },
            12 => {
                let value = Bytes::from(self.below(9).to_string());
                Write::SetSharedItem { collection: "caps".to_owned(), key: number, value, limit: 3 }
            }
            13 | 14 => {
                let groups = vec![self.below(2).to_string()];
                Write::SetRosterItem { owner, contact: bare(to), name: number, groups, limit: 3 }
            }
            15 => Write::PutRosterItem { owner, item: self.item(to), limit: 3 },
            16 => {
                let (owner, contact, contact_is_local) = (bare(from), bare(to), is_local(to));
                Write::RemoveRosterItem { owner, contact, contact_is_local }
            }
            _ => Write::Subscribe {
                from: bare(from),
                to: bare(to),
                verb: self.one_of(&[
                    Verb::Subscribe,
                    Verb::Subscribed,
                    Verb::Unsubscribe,
                    Verb::Unsubscribed,
                ]),
                from_is_local: is_local(from),
                to_is_local: is_local(to),
                stanza: Bytes::from(number),
                limits: RosterLimits { items: 3, requests: 2 },
            },
        }
    }

    fn item(&mut self, contact: &str) -> RosterItem {
        let all = [Subscription::None, Subscription::To, Subscription::From, Subscription::Both];
        RosterItem {
            subscription: self.one_of(&all),
            ask: self.below(2) == 0,
            approved: self.below(4) == 0,
            ..RosterItem::new(bare(contact))
        }
    }

    fn jids(&mut self) -> Vec<Jid> {
        let all = ["a.example", "b.example", "c.example/x", "d@example.com", "e@example.com/y"];
        (0..self.below(3)).map(|_| Jid::parse(self.one_of(&all)).expect("an address")).collect()
    }
}
