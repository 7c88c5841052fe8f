use xmpp_core::sasl::ScramHash;

use super::*;
use crate::config::Mechanism as Offered;
use crate::testing::World;

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

#[tokio::test(start_paused = true)]
async fn an_account_has_its_password() {
    let world = World::new();
    let romeo = world.directory.address("Romeo", "LOCALHOST").expect("an address");
    assert_eq!(romeo, jid("romeo@localhost"));
    world.directory.create(&romeo, "wherefore").await.expect("made");
    assert_eq!(world.directory.check_password(&romeo, "wherefore").await, Ok(true));
    assert_eq!(world.directory.check_password(&romeo, "therefore").await, Ok(false));

    world.directory.change_password(&romeo, "therefore").await.expect("changed");
    assert_eq!(world.directory.check_password(&romeo, "wherefore").await, Ok(false));
    assert_eq!(world.directory.check_password(&romeo, "therefore").await, Ok(true));
    assert_eq!(world.directory.create(&romeo, "again").await, Err(DirectoryError::Exists(romeo)));
}

#[tokio::test(start_paused = true)]
async fn each_hash_has_a_salt_of_its_own_and_no_account_an_epoch_of_another() {
    let world = World::new();
    for name in ["romeo@localhost", "juliet@localhost"] {
        world.directory.create(&jid(name), "one password").await.expect("made");
    }
    let mut salts = Vec::new();
    for name in ["romeo@localhost", "juliet@localhost"] {
        let secrets = world.router.store.secrets(&jid(name)).await.expect("reads").expect("there");
        assert_eq!(secrets.iter().map(|secret| secret.hash).collect::<Vec<_>>(), ScramHash::ALL);
        salts.extend(secrets.into_iter().map(|secret| secret.salt));
    }
    salts.sort();
    salts.dedup();
    assert_eq!(salts.len(), 6);

    let mut epochs = Vec::new();
    for name in ["romeo@localhost", "juliet@localhost"] {
        let account = world.directory.find(&jid(name)).await.expect("reads").expect("there");
        epochs.push(world.router.store.roster(account.number).await.expect("reads").version.epoch);
    }
    assert_ne!(epochs[0], epochs[1]);
}

/// What PLAIN is checked against is always there.
#[tokio::test(start_paused = true)]
async fn secrets_are_of_the_configured_hashes() {
    let world = World::with(|config| {
        config.auth.mechanisms = vec![Offered::ScramSha1, Offered::Plain];
    });
    world.directory.create(&jid("romeo@localhost"), "wherefore").await.expect("made");
    let secrets = world.router.store.secrets(&jid("romeo@localhost")).await.expect("reads").expect("there");
    let mut hashes: Vec<ScramHash> = secrets.iter().map(|secret| secret.hash).collect();
    hashes.sort_unstable();
    assert_eq!(hashes, [ScramHash::Sha1, ScramHash::Sha256]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_an_account_is_refused() {
    let world = World::new();
    let elsewhere = jid("romeo@elsewhere.example");
    let create = world.directory.create(&elsewhere, "wherefore").await;
    assert_eq!(create, Err(DirectoryError::NotServed("elsewhere.example".to_owned())));
    let domain = world.directory.create(&jid("localhost"), "wherefore").await;
    assert_eq!(domain, Err(DirectoryError::NoAddress("localhost".to_owned())));
    for bad in ["", "a\u{7}b"] {
        let create = world.directory.create(&jid("romeo@localhost"), bad).await;
        assert_eq!(create, Err(DirectoryError::BadPassword), "{bad:?}");
    }
    for bad in ["", "a b", "a@b", "a/b"] {
        let address = world.directory.address(bad, "localhost");
        assert_eq!(address, Err(DirectoryError::NoAddress(format!("{bad}@localhost"))));
    }
    assert_eq!(world.directory.count("localhost").await, Ok(0));
    assert!(world.directory.count("elsewhere.example").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_missing() {
    let world = World::new();
    let nobody = jid("nobody@localhost");
    let missing = || Err(DirectoryError::Missing(nobody.clone()));
    assert_eq!(world.directory.change_password(&nobody, "x").await, missing());
    assert_eq!(world.directory.remove(&nobody).await, missing());
    assert_eq!(world.directory.ban(&nobody, "why").await, missing());
    assert_eq!(world.directory.unban(&nobody).await, missing());
    let check = world.directory.check_password(&nobody, "x").await;
    assert_eq!(check, Err(DirectoryError::Missing(nobody.clone())));
    assert_eq!(world.directory.find(&nobody).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_is_forgotten_and_its_sessions_end() {
    let world = World::new();
    world.account("romeo@localhost").await;
    let romeo = world.connect("romeo@localhost/orchard").await;
    let known = world.router.accounts.find(&jid("romeo@localhost")).get().await;
    assert!(known.expect("reads").is_some());

    world.directory.remove(&jid("romeo@localhost")).await.expect("removed");
    assert_eq!(romeo.session.ended(), Some(End::Removed));
    let known = world.router.accounts.find(&jid("romeo@localhost")).get().await;
    assert!(known.expect("reads").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_the_sessions_and_keeps_the_account() {
    let world = World::new();
    world.account("romeo@localhost").await;
    let romeo = world.connect("romeo@localhost/orchard").await;
    world.directory.ban(&jid("romeo@localhost"), "banished").await.expect("banned");
    assert_eq!(romeo.session.ended(), Some(End::Kicked));
    let account = world.directory.find(&jid("romeo@localhost")).await.expect("reads").expect("there");
    assert_eq!(account.banned.as_deref(), Some("banished"));
    world.directory.unban(&jid("romeo@localhost")).await.expect("lifted");
    let account = world.directory.find(&jid("romeo@localhost")).await.expect("reads").expect("there");
    assert_eq!(account.banned, None);
}

#[tokio::test(start_paused = true)]
async fn an_import_tries_every_row() {
    let world = World::new();
    world.account("tybalt@localhost").await;
    let csv = "jid,password\nromeo@localhost,\"a,b\"\ntybalt@localhost,x\n\njuliet,localhost,y\nmercutio\n\
               nurse,elsewhere.example,z\npeter@localhost,\n";
    let imported = world.directory.import(csv).await;
    assert_eq!(imported.created, 2);
    let refused: Vec<(usize, String)> =
        imported.refused.iter().map(|refused| (refused.line, refused.why.to_string())).collect();
    let expected = [
        (3, "the account tybalt@localhost exists already"),
        (6, "a row is jid,password or user,domain,password; this one has 1 fields"),
        (7, "this server does not serve the domain elsewhere.example"),
        (8, "a password has at least one character, and no control characters"),
    ];
    assert_eq!(refused, expected.map(|(line, why)| (line, why.to_owned())));
    assert_eq!(world.directory.check_password(&jid("romeo@localhost"), "a,b").await, Ok(true));
    let accounts = world.directory.list("localhost", None, 10).await.expect("reads");
    let names: Vec<&str> = accounts.iter().filter_map(|account| account.jid.local()).collect();
    assert_eq!(names, ["juliet", "romeo", "tybalt"]);
}

#[tokio::test(start_paused = true)]
async fn two_imports_of_one_account_make_one() {
    let world = World::new();
    let imported = world.directory.import("romeo@localhost,a\nromeo@localhost,b\n").await;
    assert_eq!((imported.created, imported.refused.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_makes_nothing() {
    let world = World::new();
    let away = StoreError::Unavailable("away".to_owned());
    world.store.fail_writes(away.clone());
    let create = world.directory.create(&jid("romeo@localhost"), "wherefore").await;
    assert_eq!(create, Err(DirectoryError::Store(away)));
    world.store.heal();
    world.directory.create(&jid("romeo@localhost"), "wherefore").await.expect("made");
}
