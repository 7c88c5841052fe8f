//! A real server process on a folder of its own, and the tool beside it.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub struct Server {
    child: Option<Child>,
    folder: TempDir,
}

/// What the tool said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Server {
    /// Starts one and waits until it is ready.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    pub fn start_with(variables: &[(&str, &str)]) -> Server {
        let mut server = Server { child: None, folder: TempDir::new().expect("a folder") };
        server.run(variables);
        server.started();
        server
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn started(&self) {
        let said = self.ctl(&["started", "--timeout", "60"]);
        assert_eq!(said.code, 0, "{}\n{}", said.error, self.log());
    }

    /// A folder, and nobody there yet.
    pub fn absent() -> Server {
        Server { child: None, folder: TempDir::new().expect("a folder") }
    }

    /// Starts the process, and does not wait.
    pub fn run(&mut self, variables: &[(&str, &str)]) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let errors = log.try_clone().expect("a log");
        let child = self.command(variables).stdout(log).stderr(errors).spawn();
        let child = child.expect("the server starts");
        self.child = Some(child);
    }

    /// As it is started: with any free ports, and a listener without TLS for clients of the barest kind.
    pub fn command(&self, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&binaries().server);
        command.arg("--data").arg(self.data());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MEERKAT") || name.to_string_lossy().starts_with("CARGO") {
                command.env_remove(name);
            }
        }
        let usual = [
            ("MEERKAT__LISTEN__C2S__0__IP", "127.0.0.1"),
            ("MEERKAT__LISTEN__C2S__0__PORT", "0"),
            ("MEERKAT__LISTEN__C2S__0__TLS", "none"),
            ("MEERKAT__LISTEN__C2S__1__PORT", "0"),
            ("MEERKAT__AUTH__PLAIN_WITHOUT_TLS", "true"),
            ("MEERKAT__LISTEN__HTTP__0__IP", "127.0.0.1"),
            ("MEERKAT__LISTEN__HTTP__0__PORT", "0"),
            ("MEERKAT__LISTEN__HTTP__1__PORT", "0"),
            ("MEERKAT__LISTEN__METRICS__0__PORT", "0"),
            ("MEERKAT__AUTH__SCRAM_ITERATIONS", "4096"),
        ];
        command.envs(usual).envs(variables.iter().copied());
        command
    }

    pub fn ctl(&self, arguments: &[&str]) -> Said {
        self.ctl_with_input(arguments, "")
    }

    pub fn ctl_with_input(&self, arguments: &[&str], input: &str) -> Said {
        tool(&[&["--socket", self.socket().to_str().expect("UTF-8")], arguments].concat(), input)
    }

    /// The JSON of a command that is done.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.ctl(&[arguments, &["--json"]].concat());
        let mut value: Value = serde_json::from_str(&said.done()).expect("one line of JSON");
        value["data"].take()
    }

    pub fn account(&self, name: &str) {
        let arguments = ["account", "registerUser", "--domain", "localhost", "--username", name];
        self.ctl_with_input(&arguments, "secret\n").done();
    }

    pub fn client_port(&self) -> SocketAddr {
        let status = self.json(&["status"]);
        let address = status["server"]["status"]["clients"][0]["address"].as_str().expect("an address");
        address.parse().expect("an address")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn socket(&self) -> PathBuf {
        self.data().join("ctl.sock")
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).expect("the log")
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// The exit code, once it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Said {
    /// What it printed; it is a fault if it was not done.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "it printed {:?} and {:?}", self.out, self.error);
        assert_eq!(self.error, "");
        self.out
    }

    /// Without what it said of its progress, which depends on how busy the machine is.
    pub fn without_progress(mut self) -> Said {
        self.error =
            self.error.lines().filter(|line| !line.contains(" %, ")).flat_map(|line| [line, "\n"]).collect();
        self
    }

    /// Why it was refused.
    #[track_caller]
    pub fn refused(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (1, ""), "{}", self.error);
        assert!(self.error.ends_with('\n'), "{:?}", self.error);
        self.error.trim_end().to_owned()
    }

    #[track_caller]
    pub fn wrong_usage(self) -> String {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.error);
        self.error
    }
}

/// The tool, with nothing of this process's environment that concerns it.
pub fn tool(arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(&binaries().tool);
    command.args(arguments).env_remove("MEERKAT_CTL").env_remove("MEERKAT_DATA").env_remove("MEERKAT_CONFIG");
    run(command, input)
}

pub fn run(mut command: Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // It need not read what it is given.
    let _ = child.stdin.take().expect("its input").write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { code: status.code().expect("an exit code"), out: text(stdout), error: text(stderr) }
}

pub struct Binaries {
    pub server: PathBuf,
    pub tool: PathBuf,
}

/// The binaries, built as these tests were.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "server", "--features", "full", "--bins"]);
        build.args(["--message-format", "json"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let output = build.stderr(Stdio::inherit()).output().expect("cargo runs");
        assert!(output.status.success(), "the binaries are not built");
        let lines = output.stdout.split(|byte| *byte == b'\n');
        let messages: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let built = |name: &str| {
            let mut made = messages.iter().filter(|message| message["target"]["name"] == name);
            let path = made.find_map(|message| message["executable"].as_str()).expect("an executable");
            PathBuf::from(path)
        };
        Binaries { server: built("meerkat"), tool: built("meerkatctl") }
    })
}
