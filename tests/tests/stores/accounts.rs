//! Accounts, their secrets, bans and last logout; what is shared.

use server::storage::{Account, Authentication, Secrets, StoreError, Write, Written};
use xmpp_core::sasl::ScramHash;

use crate::stage::{Stage, bare, secret};

crate::on_every_store![
    an_account_is_made_once,
    secrets_are_one_for_each_hash,
    numbers_are_never_given_again,
    a_ban_has_a_reason_and_an_end,
    accounts_are_listed_by_domain_in_pages,
    the_last_logout_is_remembered,
    a_shared_secret_is_the_first_one_proposed,
    what_is_missing_is_refused,
    passwords_are_not_verified_where_secrets_are_kept,
];

async fn an_account_is_made_once(stage: Stage) {
    let romeo = bare("romeo@example.com");
    assert_eq!(stage.store.account(&romeo).await, Ok(None));
    assert_eq!(stage.store.secrets(&romeo).await, Ok(None));
    let time = 1_795_261_800_123;
    let write = Write::CreateAccount { jid: romeo.clone(), secrets: vec![], time, roster_epoch: u64::MAX };
    let Written::Account(number) = stage.done(write.clone()).await else { panic!("no account") };
    assert!(matches!(stage.write(write).await, Err(StoreError::Conflict(_))));

    let stage = stage.restarted().await;
    let expected = Account { number, jid: romeo.clone(), created: time, banned: None };
    assert_eq!(stage.store.account(&romeo).await, Ok(Some(expected)));
    assert_eq!(stage.store.secrets(&romeo).await, Ok(Some(Secrets { by_hash: vec![], banned: false })));
    let roster = stage.store.roster(number).await.expect("reads");
    assert_eq!((roster.version.epoch, roster.version.counter), (u64::MAX, 0));
}

async fn secrets_are_one_for_each_hash(stage: Stage) {
    let romeo = bare("romeo@example.com");
    let all: Vec<_> = ScramHash::ALL.into_iter().map(secret).collect();
    let write = Write::CreateAccount { jid: romeo.clone(), secrets: all.clone(), time: 0, roster_epoch: 0 };
    stage.done(write).await;
    // There are no others to be taken for these.
    assert_eq!(stage.store.secrets(&bare("juliet@example.com")).await, Ok(None));
    let mut kept = stage.store.secrets(&romeo).await.expect("reads").expect("there").by_hash;
    kept.sort_by_key(|secret| std::cmp::Reverse(secret.hash));
    assert_eq!(kept, all);

    let one = vec![secret(ScramHash::Sha256)];
    stage.done(Write::SetSecrets { jid: romeo.clone(), secrets: one.clone() }).await;
    let stage = stage.restarted().await;
    assert_eq!(stage.store.secrets(&romeo).await, Ok(Some(Secrets { by_hash: one, banned: false })));
}

async fn numbers_are_never_given_again(stage: Stage) {
    let first = stage.create("romeo@example.com").await;
    stage.remove("romeo@example.com").await;
    let stage = stage.restarted().await;
    assert_eq!(stage.store.account(&bare("romeo@example.com")).await, Ok(None));
    let second = stage.create("romeo@example.com").await;
    assert!(second > first, "{second:?} comes after {first:?}");
}

async fn a_ban_has_a_reason_and_an_end(stage: Stage) {
    let romeo = bare("romeo@example.com");
    stage.create("romeo@example.com").await;
    for reason in [Some("duelling".to_owned()), None] {
        stage.done(Write::SetBan { jid: romeo.clone(), reason: reason.clone() }).await;
        let account = stage.store.account(&romeo).await.expect("reads").expect("there");
        assert_eq!(account.banned, reason);
        let secrets = stage.store.secrets(&romeo).await.expect("reads").expect("there");
        assert_eq!(secrets.banned, reason.is_some());
    }
}

async fn accounts_are_listed_by_domain_in_pages(stage: Stage) {
    let names = ["a.b@example.com", "a@example.com", "b@example.com", "c@example.com"];
    for jid in names.iter().rev().chain(&["a@example.net", "z@example.con"]) {
        stage.create(jid).await;
    }
    let mut listed = Vec::new();
    loop {
        let after = listed.last().cloned();
        let page = stage.store.accounts("example.com", after.as_ref(), 3).await.expect("reads");
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|account| account.jid));
    }
    assert_eq!(listed, names.map(bare));
    assert_eq!(stage.store.count_accounts("example.com").await, Ok(4));
    assert_eq!(stage.store.count_accounts("example.org").await, Ok(0));
}

async fn the_last_logout_is_remembered(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    assert_eq!(stage.store.last_logout(romeo).await, Ok(None));
    for time in [1_795_261_800_000, 1_795_261_800_999] {
        stage.done(Write::SetLastLogout { owner: romeo, time, status: "Good night".to_owned() }).await;
        assert_eq!(stage.store.last_logout(romeo).await, Ok(Some((time, "Good night".to_owned()))));
    }
}

async fn a_shared_secret_is_the_first_one_proposed(stage: Stage) {
    assert_eq!(stage.store.shared_secret("tickets", vec![1, 2]).await, Ok(vec![1, 2]));
    assert_eq!(stage.store.shared_secret("tickets", vec![3]).await, Ok(vec![1, 2]));
    assert_eq!(stage.store.shared_secret("stanza ids", vec![4]).await, Ok(vec![4]));
    let stage = stage.restarted().await;
    assert_eq!(stage.store.shared_secret("tickets", vec![5]).await, Ok(vec![1, 2]));
}

async fn what_is_missing_is_refused(stage: Stage) {
    let nobody = bare("nobody@example.com");
    let gone = stage.create("gone@example.com").await;
    stage.remove("gone@example.com").await;
    for write in [
        Write::SetSecrets { jid: nobody.clone(), secrets: vec![] },
        Write::SetBan { jid: nobody.clone(), reason: None },
        Write::RemoveAccount { jid: nobody.clone() },
        Write::SetLastLogout { owner: gone, time: 0, status: String::new() },
        Write::Block { owner: gone, jids: vec![nobody.jid()], limit: 9 },
        Write::Unblock { owner: gone, jids: vec![] },
        Write::RemoveItem { owner: gone, collection: String::new(), key: String::new() },
        Write::SetRosterItem { owner: gone, contact: nobody, name: String::new(), groups: vec![], limit: 9 },
    ] {
        let refused = stage.write(write.clone()).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{write:?}: {refused:?}");
    }
}

async fn passwords_are_not_verified_where_secrets_are_kept(stage: Stage) {
    assert_eq!(stage.store.authentication("example.com"), Authentication::Secrets);
    let answer = stage.store.verify(&bare("romeo@example.com"), "pencil").await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
}
