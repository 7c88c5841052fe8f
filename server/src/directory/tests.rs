use xmpp_core::sasl::ScramHash;

use super::*;
use crate::config::Mechanism as Offered;
use crate::testing::Stage;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

#[tokio::test(start_paused = true)]
async fn an_account_has_its_password() {
    let stage = Stage::new().await;
    let romeo = stage.directory.address("Romeo", "EXAMPLE.COM").expect("an address");
    assert_eq!(romeo, jid("romeo@example.com"));
    stage.directory.create(&romeo, "wherefore").await.expect("made");
    assert_eq!(stage.directory.check_password(&romeo, "wherefore").await, Ok(true));
    assert_eq!(stage.directory.check_password(&romeo, "therefore").await, Ok(false));

    stage.directory.change_password(&romeo, "therefore").await.expect("changed");
    assert_eq!(stage.directory.check_password(&romeo, "wherefore").await, Ok(false));
    assert_eq!(stage.directory.check_password(&romeo, "therefore").await, Ok(true));
    assert_eq!(stage.directory.create(&romeo, "again").await, Err(DirectoryError::Exists(romeo)));
}

#[tokio::test(start_paused = true)]
async fn each_hash_has_a_salt_of_its_own_and_no_account_an_epoch_of_another() {
    let stage = Stage::new().await;
    for name in ["romeo@example.com", "juliet@example.com"] {
        stage.directory.create(&jid(name), "one password").await.expect("made");
    }
    let mut salts = Vec::new();
    for name in ["romeo@example.com", "juliet@example.com"] {
        let secrets = stage.router.store.secrets(&jid(name)).await.expect("reads").expect("there").by_hash;
        assert_eq!(secrets.iter().map(|secret| secret.hash).collect::<Vec<_>>(), ScramHash::ALL);
        salts.extend(secrets.into_iter().map(|secret| secret.salt));
    }
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 6);

    let mut epochs = Vec::new();
    for name in ["romeo@example.com", "juliet@example.com"] {
        let account = stage.directory.find(&jid(name)).await.expect("reads").expect("there");
        epochs.push(stage.router.store.roster(account.number).await.expect("reads").version.epoch);
    }
    assert_ne!(epochs[0], epochs[1]);
}

/// What PLAIN is checked against is always there.
#[tokio::test(start_paused = true)]
async fn secrets_are_of_the_configured_hashes() {
    let stage = Stage::configured(|config| {
        config.auth.mechanisms = vec![Offered::ScramSha1, Offered::Plain];
    })
    .await;
    stage.directory.create(&jid("romeo@example.com"), "wherefore").await.expect("made");
    let secrets = stage.router.store.secrets(&jid("romeo@example.com")).await.expect("reads").expect("there");
    let mut hashes: Vec<ScramHash> = secrets.by_hash.iter().map(|secret| secret.hash).collect();
    hashes.sort_unstable();
    assert_eq!(hashes, [ScramHash::Sha1, ScramHash::Sha256]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_an_account_is_refused() {
    let stage = Stage::new().await;
    let elsewhere = jid("romeo@elsewhere.example");
    let create = stage.directory.create(&elsewhere, "wherefore").await;
    assert_eq!(create, Err(DirectoryError::NotServed("elsewhere.example".to_owned())));
    let domain = stage.directory.create(&jid("example.com"), "wherefore").await;
    assert_eq!(domain, Err(DirectoryError::NoAddress("example.com".to_owned())));
    for bad in ["", "a\u{7}b"] {
        let create = stage.directory.create(&jid("romeo@example.com"), bad).await;
        assert_eq!(create, Err(DirectoryError::BadPassword), "{bad:?}");
    }
    for bad in ["", "a b", "a@b", "a/b"] {
        let address = stage.directory.address(bad, "example.com");
        assert_eq!(address, Err(DirectoryError::NoAddress(format!("{bad}@example.com"))));
    }
    assert_eq!(stage.directory.count("example.com").await, Ok(0));
    assert!(stage.directory.count("elsewhere.example").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_missing() {
    let stage = Stage::new().await;
    let nobody = jid("nobody@example.com");
    let missing = || Err(DirectoryError::Missing(nobody.clone()));
    assert_eq!(stage.directory.change_password(&nobody, "x").await, missing());
    assert_eq!(stage.directory.remove(&nobody).await, missing());
    assert_eq!(stage.directory.ban(&nobody, "why").await, missing());
    assert_eq!(stage.directory.unban(&nobody).await, missing());
    let check = stage.directory.check_password(&nobody, "x").await;
    assert_eq!(check, Err(DirectoryError::Missing(nobody.clone())));
    assert_eq!(stage.directory.find(&nobody).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_is_forgotten_and_its_sessions_end() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let romeo = stage.bind("romeo@example.com/orchard").await;
    let known = stage.router.accounts.find(&jid("romeo@example.com")).get().await;
    assert!(known.expect("reads").is_some());

    stage.directory.remove(&jid("romeo@example.com")).await.expect("removed");
    assert_eq!(romeo.session.ended(), Some(End::Removed));
    let known = stage.router.accounts.find(&jid("romeo@example.com")).get().await;
    assert!(known.expect("reads").is_none());
}

/// RFC 6121 section 2.5.2: as if it had removed each contact from its roster.
#[tokio::test(start_paused = true)]
async fn contacts_of_a_removed_account_see_it_go() {
    let stage = Stage::new().await;
    stage.befriend("romeo@example.com", "juliet@example.com").await;
    let _romeo = stage.login("romeo@example.com/orchard").await;
    let mut juliet = stage.login("juliet@example.com/balcony").await;
    stage.directory.remove(&jid("romeo@example.com")).await.expect("removed");
    let received = juliet.received().await;
    let told = |what: &str| received.iter().filter(|stanza| stanza.contains(what)).count();
    assert_eq!(told("from='romeo@example.com/orchard'"), 1, "{received:?}");
    assert_eq!(told("type='unavailable'"), 1, "{received:?}");
    assert_eq!(told("type='unsubscribed'"), 1, "{received:?}");
    assert!(told("subscription='none'") >= 1, "{received:?}");
}

/// The removal changes the rosters of its contacts, whose own changes come before or behind it.
#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_its_turn_with_the_contacts() {
    let stage = Stage::new().await;
    stage.befriend("romeo@example.com", "juliet@example.com").await;
    let turn = stage.router.turn(&[jid("juliet@example.com")]).await;
    let directory = stage.directory.clone();
    let removal = tokio::spawn(async move { directory.remove(&jid("romeo@example.com")).await });
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert!(!removal.is_finished(), "a change of a contact's roster is under way");
    drop(turn);
    assert_eq!(removal.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_the_sessions_and_keeps_the_account() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let romeo = stage.bind("romeo@example.com/orchard").await;
    stage.directory.ban(&jid("romeo@example.com"), "banished").await.expect("banned");
    assert_eq!(romeo.session.ended(), Some(End::Kicked));
    let account = stage.directory.find(&jid("romeo@example.com")).await.expect("reads").expect("there");
    assert_eq!(account.banned.as_deref(), Some("banished"));
    stage.directory.unban(&jid("romeo@example.com")).await.expect("lifted");
    let account = stage.directory.find(&jid("romeo@example.com")).await.expect("reads").expect("there");
    assert_eq!(account.banned, None);
}

#[tokio::test(start_paused = true)]
async fn an_import_tries_every_row() {
    let stage = Stage::new().await;
    stage.account("tybalt@example.com").await;
    let csv = "jid,password\nromeo@example.com,\"a,b\"\ntybalt@example.com,x\n\njuliet,example.com,y\nmercutio\n\
               nurse,elsewhere.example,z\npeter@example.com,\n";
    let imported = stage.directory.import(csv).await;
    assert_eq!(imported.created, 2);
    let refused: Vec<(usize, String)> =
        imported.refused.iter().map(|refused| (refused.line, refused.why.to_string())).collect();
    let expected = [
        (3, "the account tybalt@example.com exists already"),
        (6, "a row is jid,password or user,domain,password; this one has 1 fields"),
        (7, "this server does not serve the domain elsewhere.example"),
        (8, "a password has at least one character, and no control characters"),
    ];
    assert_eq!(refused, expected.map(|(line, why)| (line, why.to_owned())));
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "a,b").await, Ok(true));
    let accounts = stage.directory.list("example.com", None, 10).await.expect("reads");
    let names: Vec<&str> = accounts.iter().filter_map(|account| account.jid.local()).collect();
    assert_eq!(names, ["juliet", "romeo", "tybalt"]);
}

#[tokio::test(start_paused = true)]
async fn two_imports_of_one_account_make_one() {
    let stage = Stage::new().await;
    let imported = stage.directory.import("romeo@example.com,a\nromeo@example.com,b\n").await;
    assert_eq!((imported.created, imported.refused.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_nothing() {
    let stage = Stage::new().await;
    let away = StoreError::Unavailable("away".to_owned());
    stage.store.fail_writes(away.clone());
    let create = stage.directory.create(&jid("romeo@example.com"), "wherefore").await;
    assert_eq!(create, Err(DirectoryError::Store(away)));
    stage.store.heal();
    stage.directory.create(&jid("romeo@example.com"), "wherefore").await.expect("made");
}
