//! Every play of `tests/plays`, a case each.
//!
//! Its command line is that of Rust's own test runner, as far as people use it:
//! `cargo test --test plays -- presence --skip slow`, `--exact`, `--list`, `--test-threads N`.
//! With `PLAY_LOG=debug` the server's log is printed too; best with a single play.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use meerkat_tests::play::{notice_panics, perform_file};

struct Case {
    /// `routing/headline_to_the_bare_address`.
    name: String,
    path: PathBuf,
}

#[derive(Default)]
struct Arguments {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    /// Only what is ignored is wanted: no play is.
    ignored: bool,
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = arguments(std::env::args().skip(1));
    let all = cases();
    let found = all.len();
    let cases: Vec<Case> = all.into_iter().filter(|case| arguments.wants(&case.name)).collect();
    if arguments.list {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    log_if_wanted();
    notice_panics();
    println!("\nrunning {} tests", cases.len());
    let began = Instant::now();
    let failures = run(&cases, arguments.threads);
    if !failures.is_empty() {
        println!("\nfailures:\n");
        failures.iter().for_each(|(name, report)| println!("---- {name} ----\n{report}"));
        println!("failures:");
        failures.iter().for_each(|(name, _)| println!("    {name}"));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        cases.len() - failures.len(),
        failures.len(),
        found - cases.len(),
        began.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Runs the cases on as many threads as there are processors; gives the failures in order of name.
fn run(cases: &[Case], threads: Option<usize>) -> Vec<(String, String)> {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(processors).clamp(1, cases.len().max(1)) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = perform(case);
                    println!("test {} ... {}", case.name, if report.is_some() { "FAILED" } else { "ok" });
                    if let Some(report) = report {
                        failures.lock().expect("no panic").push((case.name.clone(), report));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic");
    failures.sort();
    failures
}

fn perform(case: &Case) -> Option<String> {
    let file = format!("tests/plays/{}.play", case.name);
    match std::panic::catch_unwind(AssertUnwindSafe(|| perform_file(&case.path, &file))) {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure.to_string()),
        Err(_) => Some("panicked".into()),
    }
}

impl Arguments {
    fn wants(&self, name: &str) -> bool {
        let is = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        let wanted = self.filters.is_empty() || self.filters.iter().any(is);
        wanted && !self.ignored && !self.skip.iter().any(is)
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Arguments {
    let mut arguments = Arguments::default();
    while let Some(word) = given.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option.to_owned(), Some(value.to_owned())),
            _ => (word, None),
        };
        match option.as_str() {
            "--exact" => arguments.exact = true,
            "--list" => arguments.list = true,
            "--ignored" => arguments.ignored = true,
            "--skip" => arguments.skip.extend(value.or_else(|| given.next())),
            "--test-threads" => {
                arguments.threads = value.or_else(|| given.next()).and_then(|threads| threads.parse().ok());
            }
            // Those of the standard runner that take a value and mean nothing here.
            "--color" | "--format" | "--logfile" | "-Z" => drop(value.or_else(|| given.next())),
            option if option.starts_with('-') => {}
            _ => arguments.filters.push(option),
        }
    }
    arguments
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("plays");
    let mut cases = Vec::new();
    for topic in folder(&root) {
        for path in folder(&topic).into_iter().filter(|path| path.extension().is_some_and(|e| e == "play")) {
            let name = path.strip_prefix(&root).expect("below the folder").with_extension("");
            cases.push(Case { name: name.display().to_string(), path });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn log_if_wanted() {
    if let Ok(filter) = std::env::var("PLAY_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt().with_env_filter(filter).without_time().init();
    }
}
