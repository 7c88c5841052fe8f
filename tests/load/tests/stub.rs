//! The tool against its own stub: it finds no fault where there is none, and every fault that the stub makes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const TOOL: &str = env!("CARGO_BIN_EXE_meerkat-load");

struct Stub {
    process: Child,
    port: String,
}

impl Stub {
    fn start(mischief: &[&str]) -> Stub {
        let mut process = Command::new(TOOL)
            .args(["echo-server", "--port", "0"])
            .args(mischief)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().to_string();
        Stub { process, port }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let pid = self.process.id().to_string();
        Command::new(TOOL)
            .args(arguments)
            .args(["--port", &self.port, "--pid", &pid, "--json", "--time-limit", "60"])
            .output()
            .unwrap()
    }

    /// The exit code and the report of a short run.
    fn report(&self, arguments: &[&str]) -> (i32, Value) {
        let period = ["--warmup", "0.1", "--duration", "0.4"];
        let output = self.run(&[arguments, &period[..]].concat());
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), report)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn fault(report: &Value, name: &str) -> u64 {
    report["faults"][name].as_u64().unwrap()
}

fn assert_faultless(report: &Value) {
    for name in ["lost", "duplicated", "out_of_order", "unacknowledged", "errors"] {
        assert_eq!(fault(report, name), 0, "{name} in {report}");
    }
}

#[test]
fn a_faultless_chat_in_a_closed_loop() {
    let (code, report) = Stub::start(&[]).report(&["chat", "--pairs", "5", "--size", "300"]);
    assert_eq!(code, 0);
    assert_faultless(&report);
    let phase = &report["phases"][0];
    assert!(phase["operations"].as_u64().unwrap() > 100, "{report}");
    assert!(phase["latency_us"]["count"].as_u64().unwrap() > 100);
    assert!(phase["server"]["memory_after"]["rss_kib"].as_u64().unwrap() > 0);
    assert_eq!(report["settings"]["bytes"], 300);
}

#[test]
fn an_open_loop_sends_at_its_rate() {
    let (code, report) = Stub::start(&[]).report(&["chat", "--pairs", "5", "--rate", "1000"]);
    assert_eq!(code, 0);
    assert_faultless(&report);
    // Every message that was due within the 0.4 seconds is timed, whenever it arrived.
    let timed = report["phases"][0]["latency_us"]["count"].as_u64().unwrap();
    assert!((390..=450).contains(&timed), "{report}");
}

#[test]
fn many_to_one_knows_its_senders_apart() {
    let (code, report) = Stub::start(&[]).report(&["many-to-one", "--senders", "7"]);
    assert_eq!(code, 0);
    assert_faultless(&report);
    assert!(report["phases"][0]["operations"].as_u64().unwrap() > 100);
}

#[test]
fn logins_are_counted_and_timed() {
    let (code, report) = Stub::start(&[]).report(&["login", "--accounts", "3"]);
    assert_eq!(code, 0);
    assert_faultless(&report);
    assert!(report["phases"][0]["latency_us"]["p99"].as_f64().unwrap() > 1.0, "{report}");
}

#[test]
fn over_tls_chat_works_and_logins_resume_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).unwrap();
    let certificate = folder.path().join("certificate.pem");
    let key = folder.path().join("key.pem");
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let stub = Stub::start(&["--certificate", certificate, "--key", key]);

    let (code, report) = stub.report(&["chat", "--pairs", "5", "--tls", "direct", "--ca", certificate]);
    assert_eq!(code, 0);
    assert_faultless(&report);
    for (options, resumes) in [(&["--insecure"][..], false), (&["--insecure", "--tls-resume"], true)] {
        let (code, report) = stub.report(&[&["login", "--tls", "direct"], options].concat());
        assert_eq!(code, 0);
        assert_eq!(report["findings"]["resumed TLS handshakes"].as_u64().unwrap() > 0, resumes, "{report}");
    }
    let refused = stub.run(&["chat", "--tls", "direct"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--insecure"));
}

#[test]
fn a_loss_is_found() {
    let (code, report) =
        Stub::start(&["--drop-every", "500"]).report(&["chat", "--pairs", "3", "--drain", "0.3"]);
    assert_eq!(code, 1);
    assert!(fault(&report, "lost") > 0);
    assert_eq!(fault(&report, "duplicated") + fault(&report, "out_of_order"), 0);
}

#[test]
fn a_duplicate_is_found() {
    let (code, report) = Stub::start(&["--repeat-every", "500"]).report(&["chat", "--pairs", "3"]);
    assert_eq!(code, 1);
    assert!(fault(&report, "duplicated") > 0);
    assert_eq!(fault(&report, "lost") + fault(&report, "out_of_order"), 0);
}

#[test]
fn disorder_is_found() {
    let (code, report) =
        Stub::start(&["--swap-every", "500"]).report(&["chat", "--pairs", "1", "--drain", "0.3"]);
    assert_eq!(code, 1);
    assert!(fault(&report, "out_of_order") > 0);
    assert_eq!(fault(&report, "duplicated"), 0);
}

#[test]
fn a_bounce_is_an_error_and_a_loss() {
    let (code, report) =
        Stub::start(&["--bounce-every", "500"]).report(&["chat", "--pairs", "1", "--drain", "0.3"]);
    assert_eq!(code, 1);
    assert_eq!(fault(&report, "errors"), fault(&report, "lost"));
    assert!(report["faults"]["troubles"][0].as_str().unwrap().contains("type='error'"));
}

#[test]
fn what_the_server_does_not_offer_is_said() {
    let output = Stub::start(&[]).run(&["chat", "--pairs", "1", "--sm"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not offer XEP-0198"));
}

#[test]
fn accounts_are_printed_for_import() {
    let output = Command::new(TOOL)
        .args(["register", "--csv", "--count", "2", "--domain", "montague.example", "--password", "p"])
        .output()
        .unwrap();
    let expected = "jid,password\nload0@montague.example,p\nload1@montague.example,p\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}
