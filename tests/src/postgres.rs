//! A PostgreSQL server of the tests' own: in a temporary folder, on a free port of the loopback interface,
//! stopped and deleted when the test's process ends, however it ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

use crate::keeper::Keeper;

/// Where Debian puts it.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// Does what it is told, a line at a time, and answers each with a line. It lives as long as its input.
const KEEPER: &str = r#"
set -e
bin=$1 port=$2 settings=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/certificate.pem" <<<"$4"
(umask 077; cat >"$dir/key.pem" <<<"$5")
printf secret >"$dir/password"
if [ -n "$6" ]; then
    "$bin/pg_basebackup" -D "$dir/data" -d "$6" -R -X stream -c fast --no-sync
else
    "$bin/initdb" -D "$dir/data" -U meerkat -A scram-sha-256 --pwfile="$dir/password" -E UTF8 --locale=C.UTF-8 \
        --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
fi
cat >>"$dir/data/postgresql.conf" <<SETTINGS
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
ssl = on
ssl_cert_file = '$dir/certificate.pem'
ssl_key_file = '$dir/key.pem'
max_connections = 400
$settings
SETTINGS
run() { "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w "$@" >/dev/null 2>&1 && echo done || echo failed; }
echo "$dir"
while read -r line; do
    case $line in
        start) run start ;;
        stop) run -m fast stop ;;
        kill) run -m immediate stop ;;
        promote) run promote ;;
        fill) dd if=/dev/zero of="$dir/ballast" bs=64k >/dev/null 2>&1 || true; echo done ;;
        free) rm -f "$dir/ballast"; echo done ;;
        pid) head -n 1 "$dir/data/postmaster.pid" ;;
        log) wc -l <"$dir/log"; cat "$dir/log" ;;
    esac
done
"$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
"#;

pub struct PostgresServer {
    port: u16,
    keeper: Mutex<Keeper>,
    /// The authority that its certificate is from.
    authority: TempDir,
    databases: AtomicU64,
}

impl PostgresServer {
    /// One for all the tests of a process, which make databases of their own in it. Its disk is not waited
    /// for: what is durable is tested on another one.
    pub fn shared() -> &'static PostgresServer {
        static SHARED: LazyLock<PostgresServer> =
            LazyLock::new(|| PostgresServer::start("fsync = off\nfull_page_writes = off"));
        &SHARED
    }

    /// `settings`: lines of its `postgresql.conf`.
    pub fn start(settings: &str) -> PostgresServer {
        let server = PostgresServer::stopped(settings);
        server.tell("start");
        server
    }

    /// One that is there, and does not run yet.
    pub fn stopped(settings: &str) -> PostgresServer {
        PostgresServer::kept_by(keeper(), settings, "").expect("PostgreSQL's files are made")
    }

    /// A folder that is a small disk for this server; `None` where nobody may mount one.
    pub fn with_small_disk(folder: &Path, megabytes: u32) -> Option<PostgresServer> {
        let server = PostgresServer::kept_by(on_small_disk(folder, megabytes, "true"), "", "")?;
        server.tell("start");
        Some(server)
    }

    /// One of which everything lies on a small disk: tables, write-ahead log and all. `fill` takes the room
    /// that is left, `free` gives it back.
    pub fn on_small_disk(folder: &Path, megabytes: u32, settings: &str) -> Option<PostgresServer> {
        let there = format!("export TMPDIR={}", folder.display());
        let server = PostgresServer::kept_by(on_small_disk(folder, megabytes, &there), settings, "")?;
        server.tell("start");
        Some(server)
    }

    /// A replica that follows this server, and that can be read only until it is told to `promote`.
    pub fn standby(&self) -> PostgresServer {
        let server = PostgresServer::kept_by(keeper(), "", &self.url("postgres"));
        let server = server.expect("a backup is taken");
        server.tell("start");
        server
    }

    /// `primary`: the URL of the server that it is to follow, or nothing.
    fn kept_by(mut command: Command, settings: &str, primary: &str) -> Option<PostgresServer> {
        assert!(
            Path::new(PROGRAMS).join("initdb").exists(),
            "{PROGRAMS} is not there: apt-get install postgresql-15 (tests/run does it)"
        );
        let authority = TempDir::new().expect("a folder");
        let (certificate, key) = certificate(authority.path(), "127.0.0.1");
        let port = free_port();
        command.args([
            "-c",
            KEEPER,
            "keeper",
            PROGRAMS,
            &port.to_string(),
            settings,
            &certificate,
            &key,
            primary,
        ]);
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("bash starts as a user");
        let mut keeper = Keeper::new(child);
        let folder = keeper.hear();
        let databases = AtomicU64::new(0);
        let is_made = PathBuf::from(&folder).is_absolute();
        is_made.then(|| PostgresServer { port, keeper: Mutex::new(keeper), authority, databases })
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, name: &str) {
        let first = self.pid();
        let others = children(first);
        let pids = others.into_iter().chain([first]).map(|pid| pid.to_string());
        let sent = Command::new("kill").arg(format!("-{name}")).args(pids).status();
        assert!(sent.is_ok(), "kill starts");
    }

    /// As `tell`; may it fail?
    pub fn try_tell(&self, word: &str) -> bool {
        self.ask(word) == "done"
    }

    /// `start`, `stop`, `kill`, `promote`, `fill`, or `free`.
    pub fn tell(&self, word: &str) {
        let answer = self.ask(word);
        assert_eq!(answer, "done", "PostgreSQL: {word}: {}", self.log());
    }

    /// The number of its first process.
    pub fn pid(&self) -> u32 {
        self.ask("pid").parse().expect("a number")
    }

    pub fn log(&self) -> String {
        let mut keeper = self.keeper.lock().expect("nobody panicked with it");
        let lines = keeper.ask("log").parse().unwrap_or(0);
        (0..lines).map(|_| keeper.hear() + "\n").collect()
    }

    fn ask(&self, word: &str) -> String {
        self.keeper.lock().expect("nobody panicked with it").ask(word)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://meerkat:secret@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    pub fn url_over_tls(&self, database: &str) -> String {
        let authority = self.authority.path().join("authority.pem");
        format!(
            "postgres://meerkat:secret@127.0.0.1:{}/{database}?sslmode=verify-full&sslrootcert={}",
            self.port,
            authority.display()
        )
    }

    /// A new and empty database.
    pub async fn database(&self) -> String {
        self.url(&self.create().await)
    }

    pub async fn database_over_tls(&self) -> String {
        self.url_over_tls(&self.create().await)
    }

    async fn create(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// As the administrator.
    pub async fn execute(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.url(database)).await.expect("it is there");
        let sql = AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("valid SQL");
        connection.close().await.expect("closes");
    }
}

/// A keeper who sees a small disk in that folder, and does something before all else.
fn on_small_disk(folder: &Path, megabytes: u32, first: &str) -> Command {
    let mount = format!(
        "mount -t tmpfs -o size={megabytes}m,uid=$(id -u postgres),mode=0700 tmpfs {} && {first} && exec \"$@\"",
        folder.display()
    );
    let inner = keeper();
    let mut outer = Command::new("unshare");
    outer.args(["-m", "bash", "-c", &mount, "mount"]).arg(inner.get_program()).args(inner.get_args());
    std::os::unix::process::CommandExt::process_group(&mut outer, 0);
    outer.current_dir("/");
    outer
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may have anything in it: state, parent.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

/// PostgreSQL refuses to run as root.
fn keeper() -> Command {
    use std::os::unix::process::CommandExt;
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
    let mut command = Command::new(if is_root { "runuser" } else { "bash" });
    if is_root {
        command.args(["-u", "postgres", "--", "bash"]);
    }
    // A test that is interrupted is not to take the keeper with it, which has still to clean up.
    command.process_group(0).current_dir("/");
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A certificate of an address and its key; the authority that it is from is put into the folder.
pub(crate) fn certificate(folder: &Path, address: &str) -> (String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("signs");
    std::fs::write(folder.join("authority.pem"), authority.pem()).expect("writes");
    let key = KeyPair::generate().expect("a key");
    let names = vec![address.to_owned(), "localhost".to_owned()];
    let mut leaf = CertificateParams::new(names).expect("names");
    // OpenSSL takes one that is named as its authority for its own authority.
    leaf.distinguished_name.push(DnType::CommonName, address);
    let leaf = leaf.signed_by(&key, &authority).expect("signs");
    (leaf.pem(), key.serialize_pem())
}
