//! An S3 server of the tests' own, which checks signatures: versitygw, on a free port of the loopback interface and
//! a temporary folder; it ends, and its folder goes, when the test's process ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use server::config::{S3, Secret};
use tempfile::TempDir;

pub const ACCESS_KEY: &str = "meerkat";
pub const SECRET_KEY: &str = "not-so-secret";
/// The variable that says where the program is.
const PROGRAM: &str = "MEERKAT_VERSITYGW";

/// Does what it is told, a line at a time, and answers each with a line. It lives as long as its input.
const KEEPER: &str = r#"
dir=$1 port=$2
shift 2
trap 'kill -KILL $server 2>/dev/null; wait; rm -rf "$dir"' EXIT
while read -r line; do
    case $line in
        start)
            "$@" >>"$dir/log" 2>&1 &
            server=$!
            for _ in $(seq 600); do
                (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
                kill -0 $server 2>/dev/null || break
                sleep 0.05
            done
            ;;
        kill) kill -KILL $server; wait $server 2>/dev/null ;;
        pause) kill -STOP $server ;;
        resume) kill -CONT $server ;;
    esac
    kill -0 $server 2>/dev/null && echo up || echo down
done
"#;

pub struct S3Server {
    port: u16,
    over_tls: bool,
    folder: PathBuf,
    keeper: Mutex<Keeper>,
    buckets: AtomicU64,
}

struct Keeper {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl S3Server {
    /// One for all the tests of a process, which make buckets of their own in it. Without TLS.
    pub fn shared() -> &'static S3Server {
        static SHARED: LazyLock<S3Server> = LazyLock::new(S3Server::start);
        &SHARED
    }

    pub fn start() -> S3Server {
        S3Server::running(false)
    }

    /// With a certificate of an authority that only `settings` names.
    pub fn over_tls() -> S3Server {
        S3Server::running(true)
    }

    fn running(over_tls: bool) -> S3Server {
        let folder = TempDir::new().expect("a folder").keep();
        std::fs::create_dir_all(folder.join("data")).expect("a folder");
        std::fs::create_dir_all(folder.join("iam")).expect("a folder");
        let port = free_port();
        let path = |name: &str| folder.join(name).display().to_string();
        let mut keeper = Command::new("bash");
        keeper.args(["-c", KEEPER, "keeper", &folder.display().to_string(), &port.to_string()]);
        keeper.arg(program()).args(["--port", &format!("127.0.0.1:{port}"), "--quiet"]);
        keeper.args(["--virtual-domain", "localhost", "--iam-dir", &path("iam")]);
        if over_tls {
            certify(&folder);
            keeper.args(["--cert", &path("certificate.pem"), "--key", &path("key.pem")]);
        }
        keeper.args(["posix", &path("data")]);
        keeper.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
        // A test that is interrupted is not to take the keeper with it, which has still to clean up.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = keeper.spawn().expect("bash starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let keeper = Mutex::new(Keeper { child, stdin, lines: BufReader::new(stdout).lines() });
        let server = S3Server { port, over_tls, folder, keeper, buckets: AtomicU64::new(0) };
        server.tell("start");
        server
    }

    /// `start`, `kill`, `pause` or `resume`.
    pub fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().expect("nobody panicked with it");
        let stdin = keeper.stdin.as_mut().expect("piped");
        stdin.write_all(format!("{word}\n").as_bytes()).expect("it listens");
        let answer = keeper.lines.next().and_then(Result::ok).unwrap_or_default();
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert_eq!(answer, if word == "kill" { "down" } else { "up" }, "versitygw: {word}: {log}");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new and empty bucket.
    pub fn bucket(&self) -> String {
        let name = format!("bucket{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(self.folder.join("data").join(&name)).expect("a folder is a bucket");
        name
    }

    /// What the configuration says of a bucket.
    pub fn settings(&self, bucket: &str) -> S3 {
        let scheme = if self.over_tls { "https" } else { "http" };
        S3 {
            endpoint: format!("{scheme}://127.0.0.1:{}", self.port).parse().ok(),
            bucket: Some(bucket.to_owned()),
            access_key: Some(ACCESS_KEY.to_owned()),
            secret_key: Some(Secret::new(SECRET_KEY)),
            ca: self.over_tls.then(|| self.authority()),
            wait_seconds: 5,
            ..S3::default()
        }
    }

    /// The same, with the bucket in the host's name.
    pub fn virtual_settings(&self, bucket: &str) -> S3 {
        let scheme = if self.over_tls { "https" } else { "http" };
        let endpoint = format!("{scheme}://localhost:{}", self.port).parse().ok();
        S3 { endpoint, path_style: false, ..self.settings(bucket) }
    }

    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Keys of all objects in a bucket, with their sizes.
    pub fn objects(&self, bucket: &str) -> Vec<(String, u64)> {
        fn below(folder: &Path, prefix: &str, found: &mut Vec<(String, u64)>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let key = format!("{prefix}{}", entry.file_name().to_string_lossy());
                // What the server itself keeps there.
                if key.starts_with(".sgwtmp") {
                    continue;
                }
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => below(&entry.path(), &(key + "/"), found),
                    Ok(metadata) => found.push((key, metadata.len())),
                    Err(_) => {}
                }
            }
        }
        let mut found = Vec::new();
        below(&self.folder.join("data").join(bucket), "", &mut found);
        found.sort();
        found
    }

    /// Everybody may read what is in the bucket.
    pub fn publish(&self, bucket: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::{bucket}/*"}}]}}"#
        );
        let url = format!("{}/{bucket}?policy=", self.settings(bucket).endpoint.expect("a URL"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail-with-body", "-X", "PUT", "--data-binary", &policy, "--aws-sigv4"]);
        curl.args(["aws:amz:us-east-1:s3", "--user", &format!("{ACCESS_KEY}:{SECRET_KEY}")]);
        curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-H", "Content-Type: application/json"]);
        if self.over_tls {
            curl.arg("--cacert").arg(self.authority());
        }
        let output = curl.arg(url).output().expect("curl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}

/// Where `tests/run` puts it, or where the variable says it is.
fn program() -> PathBuf {
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let cached = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/go/bin/versitygw");
    let program = named.unwrap_or(cached);
    assert!(
        program.exists(),
        "there is no S3 server at {}: `tests/run unit` installs it, or {PROGRAM} says where it is",
        program.display()
    );
    program
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

fn certify(folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With the name of the leaf, it would look as if the leaf had signed itself.
    authority.distinguished_name.push(DnType::CommonName, "The tests' authority");
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("signs");
    let key = KeyPair::generate().expect("a key");
    // No client accepts a wildcard of which so little is known.
    let mut names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    names.extend((0..20).map(|number| format!("bucket{number}.localhost")));
    let leaf = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signs");
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).expect("writes");
    write("authority.pem", authority.pem());
    write("certificate.pem", leaf.pem());
    write("key.pem", key.serialize_pem());
}
