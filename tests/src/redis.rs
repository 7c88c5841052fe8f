//! Redis servers of the tests' own: on a loopback address that no other process has, in a temporary folder, ended when
//! the test's process ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::certificate;

const PROGRAM: &str = "/usr/bin/redis-server";
const PASSWORD: &str = "secret";
/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a program until its own input ends. One that is paused is ended too.
const KEEPER: &str = r#"
"$@" >"$LOG" 2>&1 &
echo $!
read -r
kill -KILL $!
wait $!
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without TLS and without a password.
    Plain,
    /// With both.
    Secure,
    /// With both, and it keeps a copy on its disk when it is asked to.
    Copying,
}

pub struct RedisServer {
    address: String,
    port: u16,
    kind: Kind,
    cluster: bool,
    folder: TempDir,
    process: Mutex<Option<Process>>,
}

struct Process {
    keeper: Child,
    input: Option<ChildStdin>,
    id: u32,
}

impl RedisServer {
    pub fn start(kind: Kind) -> RedisServer {
        let server = RedisServer::stopped(kind, false);
        server.start_again();
        server
    }

    fn stopped(kind: Kind, cluster: bool) -> RedisServer {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is not there: apt-get install redis-server (tests/run does it)"
        );
        static SERVERS: AtomicU16 = AtomicU16::new(0);
        let process = std::process::id();
        // The lowest bit of the second byte keeps clear of 127.0.0.1.
        let address = format!(
            "127.{}.{}.{}",
            64 + (process >> 16) % 128,
            process >> 8 & 255,
            (process & 255).clamp(1, 254)
        );
        let port = 7_000 + SERVERS.fetch_add(1, Ordering::Relaxed);
        let folder = TempDir::new().expect("a folder");
        let (certificate, key) = certificate(folder.path(), &address);
        std::fs::write(folder.path().join("certificate.pem"), certificate).expect("writes");
        std::fs::write(folder.path().join("key.pem"), key).expect("writes");
        RedisServer { address, port, kind, cluster, folder, process: Mutex::new(None) }
    }

    /// After `stop`. What it held is gone, unless it kept a copy.
    pub fn start_again(&self) {
        let folder = self.folder.path();
        let mut command = Command::new("bash");
        command.args(["-c", KEEPER, "keeper", PROGRAM]).env("LOG", folder.join("log"));
        command.arg("--dir").arg(folder);
        command.args(["--bind", &self.address, "--protected-mode", "no", "--save", "", "--appendonly", "no"]);
        let port = self.port.to_string();
        if self.is_secure() {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            for (option, file) in [("cert", "certificate"), ("key", "key"), ("ca-cert", "authority")] {
                command.arg(format!("--tls-{option}-file")).arg(folder.join(format!("{file}.pem")));
            }
            command.args(["--requirepass", PASSWORD]);
        } else {
            command.args(["--port", &port]);
        }
        if self.cluster {
            command.args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]);
            // The others answer to where it comes from, which on this interface is 127.0.0.1.
            command.args(["--cluster-announce-ip", &self.address, "--bind-source-addr", &self.address]);
            command.args(["--tls-cluster", if self.is_secure() { "yes" } else { "no" }]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().expect("bash starts");
        let input = keeper.stdin.take();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let id = line.trim().parse().expect("the number of a process");
        *self.process.lock().expect("nobody panicked with it") = Some(Process { keeper, input, id });
        let began = Instant::now();
        while self.ask(&["PING"]) != "PONG" {
            assert!(began.elapsed() < PATIENCE, "Redis does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once, as a crash would.
    pub fn stop(&self) {
        *self.process.lock().expect("nobody panicked with it") = None;
    }

    /// It takes connections, and answers nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    pub fn flush(&self) {
        assert_eq!(self.ask(&["FLUSHALL"]), "OK");
    }

    /// All keys, fields and values, one a line.
    pub fn everything(&self) -> String {
        let script = "local all = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
                all[#all + 1] = key
                for _, text in ipairs(redis.call('HGETALL', key)) do all[#all + 1] = text end
            end
            return all";
        self.ask(&["EVAL", script, "0"])
    }

    /// What `redis-cli` answers.
    pub fn ask(&self, words: &[&str]) -> String {
        let output = self.cli().args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn cli(&self) -> Command {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", &self.address, "-p", &self.port.to_string()]);
        if self.is_secure() {
            cli.args(["--no-auth-warning", "-a", PASSWORD, "--tls", "--cacert"]).arg(self.authority());
        }
        cli
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn is_secure(&self) -> bool {
        self.kind != Kind::Plain
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        let process = self.process.lock().expect("nobody panicked with it");
        process.as_ref().expect("it runs").id
    }

    /// As `storage.redis.url` wants it.
    pub fn url(&self) -> String {
        let (scheme, who) =
            if self.is_secure() { ("rediss", format!(":{PASSWORD}@")) } else { ("redis", String::new()) };
        format!("{scheme}://{who}{}:{}", self.address, self.port)
    }

    /// The certificate authority to trust, as a file.
    pub fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("authority.pem")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends it.
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.keeper.wait();
    }
}

/// A Redis Cluster of three primaries.
pub struct RedisCluster {
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    pub fn start() -> RedisCluster {
        let servers: Vec<RedisServer> = (0..3).map(|_| RedisServer::stopped(Kind::Plain, true)).collect();
        servers.iter().for_each(RedisServer::start_again);
        let places = servers.iter().map(|server| format!("{}:{}", server.address, server.port));
        // It would wait for ever for a cluster that does not become one.
        let mut create = Command::new("timeout");
        create.args(["60", "redis-cli", "--cluster", "create"]).args(places).arg("--cluster-yes");
        let output = create.output().expect("redis-cli runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let began = Instant::now();
        while !servers.iter().all(|server| server.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")) {
            assert!(began.elapsed() < PATIENCE, "the cluster does not become one");
            std::thread::sleep(Duration::from_millis(50));
        }
        RedisCluster { servers }
    }

    /// Of two of them: the third is found by asking.
    pub fn url(&self) -> String {
        let places = self.servers.iter().take(2).map(|server| format!("{}:{}", server.address, server.port));
        format!("redis://{}", places.collect::<Vec<_>>().join(","))
    }
}
