//! What archives keep for how long: once a day the oldest messages go that are older than
//! `modules.mam.retention_days`, a slice at a time. One server does it for all that share a store.

use std::time::Duration;

use xmpp_core::BareJid;

use crate::config::Config;
use crate::jobs::Turn;
use crate::storage::archive::{Keep, Tended};
use crate::storage::{Account, AccountNumber, Millis, Store, StoreError, Write, Written};

pub const DAY: Millis = 24 * 60 * 60 * 1000;
/// Behind a start others have more to do.
pub const AFTER_START: Duration = Duration::from_secs(60);
pub const EVERY: Duration = Duration::from_millis(DAY);
pub const AFTER_ERROR: Duration = Duration::from_secs(15 * 60);

/// Entries that one write deletes: a few milliseconds, between which others are served.
const SLICE: u32 = 256;
/// Accounts that are read from the store at one time.
const ACCOUNTS: usize = 200;

/// A store that drops months keeps them until nobody needs the whole of them. Where that is the domain that keeps
/// its archives longest, it keeps them up to a month longer, which is not much of so many days; what is not dropped
/// even so goes in slices, so many days later.
const MONTHS_FROM_DAYS: u64 = 120;
const MONTHS_LEFT: Millis = 62 * DAY;

/// Does it for all domains, as long as it is this server's turn. Gives how many entries went.
pub async fn keep(turn: &mut Turn, config: &Config, now: Millis) -> Result<u64, StoreError> {
    let store = turn.store.clone();
    let mut dropped = 0;
    for host in &config.general.hosts {
        let Some(days) = config.retention_days(host.as_str()).at_most() else { continue };
        let by_months = store.drops_months() && days >= MONTHS_FROM_DAYS && Some(days) == longest(config);
        let before = now.saturating_sub(days.saturating_mul(DAY) + if by_months { MONTHS_LEFT } else { 0 });
        let mut accounts = Accounts::of(&*store, host.as_str());
        while let Some(account) = accounts.next().await? {
            loop {
                let Some(lease) = turn.take().await? else { return Ok(dropped) };
                let write = Box::new(slice(account.number, before));
                match store.write(Write::Under { lease, write }).await? {
                    Written::Dropped(count) if count > 0 => dropped += count,
                    _ => break,
                }
            }
        }
    }
    Ok(dropped)
}

/// Makes the months to come and drops those that no domain keeps, where the store has such.
pub async fn tend(turn: &mut Turn, config: &Config, now: Millis) -> Result<Tended, StoreError> {
    let Some(lease) = turn.take().await? else { return Ok(Tended::default()) };
    let before = longest(config).map(|days| now.saturating_sub(days.saturating_mul(DAY)));
    let domains = config.general.hosts.iter().map(|host| host.as_str().to_owned()).collect();
    turn.store.tend_archives(&lease, &Keep { domains, before }).await
}

/// For how many days the domain keeps that keeps longest; `None`: for ever.
fn longest(config: &Config) -> Option<u64> {
    let days = config.general.hosts.iter().map(|host| config.retention_days(host.as_str()).at_most());
    days.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// Drops what came into an account's archive before then, at an operator's word. Gives how many entries went.
pub async fn purge(store: &dyn Store, owner: AccountNumber, before: Millis) -> Result<u64, StoreError> {
    let mut dropped = 0;
    loop {
        match store.write(slice(owner, before)).await? {
            Written::Dropped(count) if count > 0 => dropped += count,
            _ => return Ok(dropped),
        }
    }
}

fn slice(owner: AccountNumber, before: Millis) -> Write {
    Write::PurgeArchive { owner, before, limit: SLICE }
}

/// The accounts of a domain, one after the other.
pub struct Accounts<'a> {
    store: &'a dyn Store,
    domain: &'a str,
    page: std::vec::IntoIter<Account>,
    last: Option<BareJid>,
}

impl<'a> Accounts<'a> {
    pub fn of(store: &'a dyn Store, domain: &'a str) -> Accounts<'a> {
        Accounts { store, domain, page: Vec::new().into_iter(), last: None }
    }

    pub async fn next(&mut self) -> Result<Option<Account>, StoreError> {
        if self.page.len() == 0 {
            let page = self.store.accounts(self.domain, self.last.as_ref(), ACCOUNTS).await?;
            self.page = page.into_iter();
        }
        let next = self.page.next();
        if let Some(account) = &next {
            self.last = Some(account.jid.clone());
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugins::memory::Memory;
    use crate::storage::archive::{End, Filter};
    use crate::storage::{Archive, Draft, Job, MessageId, OfflineQueue, Owner, Peer, Role};

    const NOW: Millis = 1_795_261_800_000;

    async fn account(store: &Memory, jid: &str) -> AccountNumber {
        let jid = BareJid::parse(jid).expect("an address");
        match store.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await {
            Ok(Written::Account(number)) => number,
            other => panic!("{other:?}"),
        }
    }

    /// A message a day, the newest today; each is both accounts', and waits for the second.
    async fn days(store: &Memory, (romeo, juliet): (AccountNumber, AccountNumber), days: u64) {
        for age in (0..days).rev() {
            let owner = |account, waits| {
                let role = Role { waits, archived: true, sent: !waits };
                Owner { account, role, peer: Peer(1) }
            };
            let owners = [owner(romeo, false), owner(juliet, true)].into_iter().collect();
            let draft = Draft { time: NOW - age * DAY, owners, stanza: "<message/>".into() };
            store.save(vec![draft]).await.expect("saves");
        }
    }

    async fn left(store: &Memory, owner: AccountNumber) -> usize {
        store.archived(owner, &Filter::default(), End::Oldest, 9_999).await.expect("reads").len()
    }

    #[test]
    fn months_are_kept_as_long_as_the_domain_that_keeps_longest() {
        let text = "general.hosts = ['a.example', 'b.example']
            modules.mam.retention_days = 400
            [[domain]]\nname = 'b.example'\nmodules.mam.retention_days = ";
        for (days, expected) in [("10", Some(400)), ("500", Some(500)), ("'none'", None)] {
            let text = format!("{text}{days}");
            let config = crate::config::parse(&text, std::path::Path::new("test"), &[]);
            assert_eq!(longest(&config.expect("a configuration")), expected);
        }
    }

    #[tokio::test]
    async fn each_domain_keeps_as_long_as_it_says() {
        let text = "general.hosts = ['a.example', 'b.example', 'c.example']
            modules.mam.retention_days = 400
            [[domain]]\nname = 'b.example'\nmodules.mam.retention_days = 10
            [[domain]]\nname = 'c.example'\nmodules.mam.retention_days = 'none'";
        let config = crate::config::parse(text, std::path::Path::new("test"), &[]).expect("a configuration");
        let store = Arc::new(Memory::new());
        let mut accounts = Vec::new();
        for host in ["a.example", "b.example", "c.example"] {
            let pair = (
                account(&store, &format!("romeo@{host}")).await,
                account(&store, &format!("juliet@{host}")).await,
            );
            days(&store, pair, 1_000).await;
            accounts.push(pair);
        }
        // What is exactly as old as that stays.
        let dropped = 2 * (1_000 - 401) + 2 * (1_000 - 11);
        let turn = |holder: &str| Turn::new(store.clone(), Job::Retention, holder.into());
        let (mut turn, mut another) = (turn("one"), turn("another"));
        assert_eq!(keep(&mut turn, &config, NOW).await, Ok(dropped));
        for ((romeo, juliet), kept) in accounts.into_iter().zip([401, 11, 1_000]) {
            assert_eq!((left(&store, romeo).await, left(&store, juliet).await), (kept, kept));
            let waiting = store.waiting(juliet, MessageId(0), 9_999).await.expect("reads");
            assert_eq!(waiting.len(), 1_000);
        }
        assert_eq!(keep(&mut turn, &config, NOW).await, Ok(0));
        // Another server does nothing until it is its turn.
        let later = NOW + DAY;
        assert_eq!(keep(&mut another, &config, later).await, Ok(0));
        turn.give_back().await;
        assert_eq!(keep(&mut another, &config, later).await, Ok(4));
    }
}
