//! A name server of the tests' own: unbound, with the records that it is told, on a free port of the loopback
//! interface.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct NameServer {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl NameServer {
    /// It knows the zone `test.`, and of it these records, as in a zone's file.
    pub fn start(records: &[String]) -> NameServer {
        let folder = TempDir::new().expect("a folder");
        let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let lines: Vec<String> =
            records.iter().map(|record| format!("  local-data: \"{record}\"\n")).collect();
        // It talks to nobody else: a name that it does not know is not there.
        let text = format!(
            "server:\n  interface: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
             directory: \"{folder}\"\n  use-syslog: no\n  logfile: \"\"\n  do-not-query-localhost: no\n  \
             local-zone: \"test.\" static\n{records}remote-control:\n  control-enable: no\n",
            port = address.port(),
            folder = folder.path().display(),
            records = lines.concat(),
        );
        let file = folder.path().join("unbound.conf");
        std::fs::write(&file, text).expect("a configuration");
        let program = ["/usr/sbin/unbound", "unbound"].into_iter().find(|program| {
            Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        });
        let program = program.expect("unbound is there: apt-get install unbound (tests/run does it)");
        let mut command = Command::new(program);
        command
            .args(["-d", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = NameServer { child: command.spawn().expect("it starts"), address, _folder: folder };
        server.until_it_answers();
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn until_it_answers(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
        // Does `test.` have an address? It need not; it is asked only whether it answers.
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04test\x00\x00\x01\x00\x01";
        let begun = Instant::now();
        loop {
            let sent = socket.send_to(question, self.address);
            if sent.is_ok() && socket.recv_from(&mut [0; 512]).is_ok() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "unbound does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
