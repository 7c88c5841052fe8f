//! What a person is told who has just started the server: what it serves, where, and what to do next.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::SOCKET_NAME;
use crate::config::{self, Config, HttpTls, TlsMode};
use crate::node::{Listening, Node};

/// The lines, each with its line break.
pub fn welcome(node: &Node, listening: &Listening, socket: &Path) -> String {
    let config = node.config();
    let hosts: Vec<&str> = config.general.hosts.iter().map(|host| host.as_str()).collect();
    let mut text = format!("Meerkat {} serves {}\n", env!("CARGO_PKG_VERSION"), hosts.join(", "));
    for (address, mode) in &listening.c2s {
        let _ = writeln!(text, "  clients   {} ({})", place(address), how(*mode));
    }
    if !listening.http.is_empty() {
        let urls: Vec<String> = listening.http.iter().map(|(address, tls)| url(address, *tls)).collect();
        let _ = writeln!(text, "  HTTP      {}", urls.join(", "));
    }
    for address in &listening.metrics {
        let _ = writeln!(text, "  metrics   http://{}/metrics, /healthz, /readyz", reached(address));
    }
    if let Some(own) = node.tls.certificates().into_iter().find(|certificate| certificate.self_signed) {
        let _ = writeln!(text, "  TLS       {}, signed by the server itself", absolute(&own.file).display());
    }
    let _ = writeln!(text, "  data      {}", absolute(&node.data_dir).display());
    let tool = Tool::find(std::env::current_exe().ok(), &config::environment(), std::env::current_dir().ok());
    let domain = hosts.first().copied().unwrap_or("localhost");
    let command = tool.command(socket, &config::environment());
    let _ = writeln!(text, "Make an account; this asks for a password:");
    let _ = writeln!(text, "  {command} account registerUser --domain {domain} --username juliet");
    let _ = writeln!(text, "Then log in as juliet@{domain} with any XMPP client. Ctrl-C stops the server.");
    text
}

/// Where it listens, in words.
pub fn place(address: &SocketAddr) -> String {
    match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => format!("port {}", address.port()),
        IpAddr::V4(ip) if ip.is_unspecified() => format!("port {}, IPv4 only", address.port()),
        _ => address.to_string(),
    }
}

/// Where it is reached on this machine.
pub fn reached(address: &SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

/// The beginning of its URLs on this machine.
pub fn url(address: &SocketAddr, tls: HttpTls) -> String {
    let scheme = if tls == HttpTls::Direct { "https" } else { "http" };
    format!("{scheme}://{}/", reached(address))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// When TLS begins, in words.
pub fn how(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Starttls => "STARTTLS",
        TlsMode::StarttlsOptional => "STARTTLS, or no TLS at all",
        TlsMode::Direct => "TLS from the first byte",
        TlsMode::None => "no TLS",
    }
}

/// How `meerkatctl` is called from where this server was started.
struct Tool {
    program: String,
    /// Does it work in this folder only?
    only_here: bool,
}

impl Tool {
    fn find(server: Option<PathBuf>, environment: &[(OsString, OsString)], here: Option<PathBuf>) -> Tool {
        let folder = server.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let variable = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        // Under `cargo run` only the server was built; what else is there may be of yesterday.
        if variable("CARGO").is_some() && variable("CARGO_MANIFEST_DIR").is_some() {
            let profile = if folder.ends_with("release") { "--release " } else { "" };
            let program = format!("cargo run -q {profile}--bin meerkatctl --");
            return Tool { program, only_here: true };
        }
        let path = variable("PATH").cloned().unwrap_or_default();
        let tool = folder.join("meerkatctl");
        if std::env::split_paths(&path).any(|place| place == folder) || !tool.exists() {
            return Tool { program: "meerkatctl".to_owned(), only_here: false };
        }
        match here.and_then(|here| tool.strip_prefix(here).map(Path::to_owned).ok()) {
            Some(relative) => Tool { program: quoted(&Path::new(".").join(relative)), only_here: true },
            None => Tool { program: quoted(&tool), only_here: false },
        }
    }

    /// With the socket, unless the tool finds it by itself in another terminal: where none of the
    /// variables of this one are set, and, if it works in this folder only, there.
    fn command(&self, socket: &Path, environment: &[(OsString, OsString)]) -> String {
        let others: Vec<(OsString, OsString)> = environment
            .iter()
            .filter(|(name, _)| !name.to_string_lossy().starts_with("MEERKAT"))
            .cloned()
            .collect();
        let file = config::config_file(None, &others);
        let config = config::load(file.as_deref(), &others).unwrap_or_else(|_| Config::default());
        let found = config::data_dir(None, &others, &config).join(SOCKET_NAME);
        if found == socket && (self.only_here || socket.is_absolute()) {
            return self.program.clone();
        }
        format!("{} --socket {}", self.program, quoted(&absolute(socket)))
    }
}

/// For a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn the_tool_is_called_as_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("target/release");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("meerkatctl"), "").unwrap();
        let server = Some(bin.join("meerkat"));
        let program = |environment: &[(&str, &str)], here: &Path| {
            Tool::find(server.clone(), &self::environment(environment), Some(here.to_owned())).program
        };
        let path = bin.to_str().unwrap();
        assert_eq!(program(&[("PATH", "/bin")], folder.path()), "./target/release/meerkatctl");
        assert_eq!(
            program(&[("PATH", "/bin")], Path::new("/")),
            "./".to_owned() + &path[1..] + "/meerkatctl"
        );
        assert_eq!(program(&[("PATH", "/bin")], Path::new("/elsewhere")), format!("{path}/meerkatctl"));
        assert_eq!(program(&[("PATH", path)], Path::new("/")), "meerkatctl");
        let cargo = [("CARGO", "/usr/bin/cargo"), ("CARGO_MANIFEST_DIR", "/src")];
        assert_eq!(program(&cargo, folder.path()), "cargo run -q --release --bin meerkatctl --");
    }

    #[test]
    fn the_socket_is_named_where_it_would_not_be_found() {
        let anywhere = Tool { program: "meerkatctl".to_owned(), only_here: false };
        let named = "meerkatctl --socket '/srv/my data/ctl.sock'";
        assert_eq!(anywhere.command(Path::new("/srv/my data/ctl.sock"), &[]), named);
        // Where the tool looks without being told, and that from any folder only if it is absolute.
        let usual = config::data_dir(None, &[], &Config::default()).join(SOCKET_NAME);
        assert_eq!(anywhere.command(&usual, &[]) == "meerkatctl", usual.is_absolute());
        let here = Tool { program: "./meerkatctl".to_owned(), only_here: true };
        assert_eq!(here.command(&usual, &[]), "./meerkatctl");
        // What names it here may not be set in the other terminal.
        let data = environment(&[("MEERKAT_DATA", "/srv/data")]);
        assert_eq!(
            here.command(Path::new("/srv/data/ctl.sock"), &data),
            "./meerkatctl --socket /srv/data/ctl.sock"
        );
    }
}
