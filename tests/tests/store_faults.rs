//! The SQLite store in a process of its own: killed at any moment, and out of room.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use server::plugins::sqlite::{Options, Sqlite};
use server::storage::{AccountNumber, MessageId, OfflineQueue, Rosters, Store, Users};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;
use xmpp_core::BareJid;

const CHILD: &str = env!("CARGO_BIN_EXE_store_child");
const ROUNDS: usize = 20;

/// What the children said, over all rounds; the accounts of the latest.
#[derive(Default)]
struct Said {
    saved: BTreeSet<u64>,
    taking: BTreeSet<u64>,
    accounts: HashSet<String>,
    roster: u64,
}

/// Killed after any of its lines, the store has every write that was acknowledged; it gives no id a
/// second time; and of what was taken little comes again.
#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("meerkat.db");
    let mut said = Said::default();
    for round in 0..ROUNDS {
        let lines = run_and_kill(&path, 1 + round * round * 10);
        let newest = said.saved.last().copied().unwrap_or(0);
        said.accounts.clear();
        for line in &lines {
            hear(&mut said, line, newest);
        }
        let repeated = check(&path, &said).await;
        println!("round {round}: {} lines, {repeated} taken messages come again", lines.len());
    }
    check_rows(&path).await;
    assert!(said.saved.len() > 4096, "only {} messages: too few for a bulk", said.saved.len());
    assert!(said.taking.len() > 1000 && said.accounts.len() > 10 && said.roster > 10);
}

/// Its lines, up to about this many: what it still said before the kill arrived was acknowledged, too.
fn run_and_kill(path: &Path, count: usize) -> Vec<String> {
    let mut child = Command::new(CHILD).arg(path).arg("run").stdout(Stdio::piped()).spawn().expect("starts");
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    let mut heard: Vec<String> = lines.by_ref().take(count).map(|line| line.expect("text")).collect();
    child.kill().expect("kills");
    heard.extend(lines.map_while(Result::ok));
    child.wait().expect("ends");
    assert_eq!(heard.first().map(String::as_str), Some("open"), "{heard:?}");
    heard
}

fn hear(said: &mut Said, line: &str, newest: u64) {
    let mut words = line.split(' ');
    let kind = words.next();
    let ids: Vec<u64> = words.clone().filter_map(|word| word.parse().ok()).collect();
    match (kind, words.next()) {
        (Some("saved"), _) => {
            for id in ids {
                assert!(id > newest && said.saved.insert(id), "{id} was given before");
            }
        }
        (Some("taking"), _) => said.taking.extend(ids),
        (Some("roster"), _) => said.roster = ids[0],
        (Some("created"), Some(jid)) => {
            said.accounts.insert(jid.to_owned());
        }
        _ => assert_eq!(line, "open"),
    }
}

/// Opens the store, which checks its whole file, and compares. Gives how many messages wait again that
/// were taken, and takes them.
async fn check(path: &Path, said: &Said) -> usize {
    let store = Sqlite::open(Options::new(path)).await.expect("the store opens");
    let romeo = BareJid::parse("romeo@example.com").expect("an address");
    let romeo =
        store.account(&romeo).await.expect("reads").map_or(AccountNumber(0), |account| account.number);
    let waiting = store.waiting(romeo, MessageId(0), 1_000_000).await.expect("reads");
    assert!(waiting.iter().all(|message| message.stanza.starts_with(b"message ")));
    assert!(waiting.is_sorted_by(|one, next| one.id < next.id));
    assert_eq!(store.count_waiting(romeo).await, Ok(waiting.len() as u64));
    let waiting: BTreeSet<u64> = waiting.iter().map(|message| message.id.0).collect();
    let lost: Vec<&u64> =
        said.saved.iter().filter(|id| !said.taking.contains(id) && !waiting.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged, and are lost");
    for jid in &said.accounts {
        let jid = BareJid::parse(jid).expect("an address");
        assert!(store.account(&jid).await.expect("reads").is_some(), "{jid} was acknowledged, and is lost");
    }
    assert!(store.roster(romeo).await.expect("reads").version.counter >= said.roster);
    let again: Vec<u64> = waiting.intersection(&said.taking).copied().collect();
    for id in &again {
        store.taken(romeo, MessageId(*id));
    }
    store.close().await;
    again.len()
}

/// No crash has left a message without an entry behind, nor an entry without its message.
async fn check_rows(path: &Path) {
    let store = Sqlite::open(Options::new(path)).await.expect("the store opens");
    // Each is a commit, with a slice of the chores behind it.
    for _ in 0..100 {
        store.health().await.expect("writes");
    }
    store.close().await;
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.expect("connects");
    for (what, sql) in [
        ("ranges to delete", "SELECT length(dead) FROM progress"),
        (
            "messages without an entry",
            "SELECT count(*) FROM message WHERE id <= (SELECT indexed FROM progress)
             AND id NOT IN (SELECT id FROM waiting)",
        ),
        (
            "entries without a message",
            "SELECT count(*) FROM waiting WHERE id NOT IN (SELECT id FROM message)",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("valid SQL");
        assert_eq!(count, 0, "{what}");
    }
}

/// A disk of two megabytes, which is filled and emptied under the store.
#[test]
fn a_full_disk_refuses_and_a_freed_one_takes_again() {
    let folder = TempDir::new().expect("a folder");
    let Some(mut child) = Talk::on_small_disk(folder.path()) else {
        eprintln!("This machine lets nobody mount a disk; the test of a bounded file stands for this one.");
        return;
    };
    assert_eq!(child.ask("create romeo@example.com"), "account 1");
    assert_eq!(child.ask("save 1 10 1000"), "saved Some(1) Some(10)");
    let ballast = folder.path().join("ballast").display().to_string();
    assert_eq!(child.ask(&format!("fill {ballast}")), "done");
    let mut saved = 10;
    let refused = loop {
        let answer = child.ask("save 1 10 1000");
        if answer.starts_with("error") {
            break answer;
        }
        saved += 10;
    };
    assert!(refused.starts_with("error full") && refused.contains("meerkat.db"), "{refused}");
    assert_eq!(child.ask("count 1"), format!("count {saved}"));
    assert!(child.ask("create juliet@example.com").starts_with("error full"));

    assert_eq!(child.ask(&format!("remove {ballast}")), "done Ok(())");
    assert!(child.ask("save 1 10 1000").starts_with("saved"));
    assert_eq!(child.ask("count 1"), format!("count {}", saved + 10));
    assert_eq!(child.ask("create juliet@example.com"), "account 2");
}

/// Nobody but the system's administrator is stopped by permissions, so that the child is somebody else.
#[test]
fn a_file_that_cannot_be_written_is_refused_with_its_name() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("meerkat.db");
    let mut child = Talk::to(Command::new(CHILD).arg(&path).arg("talk")).expect("opens");
    assert_eq!(child.ask("create romeo@example.com"), "account 1");
    drop(child);
    let permit = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets");
    };
    permit(folder.path(), 0o777);
    permit(&path, 0o444);
    permit(&folder.path().join("meerkat.db.lock"), 0o666);

    // A copy, for the build's own folder may be closed to others.
    let copy = folder.path().join("child");
    std::fs::copy(CHILD, &copy).expect("copies");
    let mut command = Command::new(&copy);
    command.arg(&path).arg("talk");
    if std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0) {
        command.uid(65_534).gid(65_534);
    }
    let refused = Talk::to(&mut command).err().expect("it does not open");
    assert!(refused.starts_with("error unavailable") && refused.contains("meerkat.db"), "{refused}");
}

/// A child that does what is said.
struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    /// The child, or what it said instead of opening its store.
    fn to(command: &mut Command) -> Result<Talk, String> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut talk = Talk { child, stdin, lines: BufReader::new(stdout).lines() };
        match talk.hear() {
            line if line == "open" => Ok(talk),
            other => Err(other),
        }
    }

    /// In a mount namespace of its own, where the folder is a small disk in memory.
    fn on_small_disk(folder: &Path) -> Option<Talk> {
        let script = format!(
            "mount -t tmpfs -o size=2m tmpfs {0} && exec {CHILD} {0}/meerkat.db talk",
            folder.display()
        );
        [&["-m"][..], &["-r", "-m"]].into_iter().find_map(|namespaces| {
            let mut unshare = Command::new("unshare");
            Talk::to(unshare.args(namespaces).args(["sh", "-c", &script]).stderr(Stdio::null())).ok()
        })
    }

    fn ask(&mut self, line: &str) -> String {
        let stdin = self.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it listens");
        self.hear()
    }

    /// Its next line; nothing when it has ended.
    fn hear(&mut self) -> String {
        self.lines.next().and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}
