//! Log lines: text for people or JSON for machines, on standard output, with a level that can change at run
//! time.
//!
//! The server's own code is heard from the configured level up; libraries from warnings up, unless a filter
//! names them: below that, some of them repeat what they carry.

use std::io::{self, IsTerminal};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

use crate::config::{General, LogFilter, LogFormat, LogLevel};

/// The crates whose lines are the server's own.
const OWN: &[&str] = &["server", "meerkat", "meerkatctl", "xmpp_core", "cluster"];

/// The switch of the log. A clone is not needed: it is shared by reference.
#[derive(Debug)]
pub struct Logging {
    handle: reload::Handle<Targets, Registry>,
    chosen: Mutex<Chosen>,
}

#[derive(Debug, Clone)]
struct Chosen {
    level: LogLevel,
    filters: Vec<LogFilter>,
}

/// Sends the process's log lines to standard output. Called once, first thing in `main`.
pub fn init(general: &General) -> Logging {
    let (subscriber, logging) = build(general, io::stdout, io::stdout().is_terminal());
    // It fails when somebody was first, a test for instance; lines go there then.
    let _ = subscriber.try_init();
    logging
}

impl Logging {
    pub fn level(&self) -> LogLevel {
        self.chosen.lock().level
    }

    pub fn set_level(&self, level: LogLevel) {
        self.change(|chosen| chosen.level = level);
    }

    /// As a reload does: the level and the filters of a new configuration.
    pub fn apply(&self, general: &General) {
        self.change(|chosen| {
            chosen.level = general.log_level;
            chosen.filters = general.log_filters.clone();
        });
    }

    fn change(&self, change: impl FnOnce(&mut Chosen)) {
        let mut chosen = self.chosen.lock();
        change(&mut chosen);
        // It fails when the subscriber is gone; then there is no log to change.
        let _ = self.handle.reload(chosen.targets());
    }
}

impl Chosen {
    fn targets(&self) -> Targets {
        let level = filter(self.level);
        let own = OWN.iter().map(|name| ((*name).to_owned(), level));
        let named = self.filters.iter().map(|named| (named.target.clone(), filter(named.level)));
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_targets(own).with_targets(named)
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn build<W>(
    general: &General,
    writer: W,
    colours: bool,
) -> (impl tracing::Subscriber + Send + Sync + 'static, Logging)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let chosen = Chosen { level: general.log_level, filters: general.log_filters.clone() };
    let (targets, handle) = reload::Layer::new(chosen.targets());
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match general.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(targets).with(lines);
    (subscriber, Logging { handle, chosen: Mutex::new(chosen) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock())).unwrap()
        }
    }

    fn logged(general: &General, act: impl FnOnce(&Logging, &Lines)) {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, logging) = build(general, move || writer.clone(), false);
        with_default(subscriber, || act(&logging, &lines));
    }

    fn speak() {
        tracing::info!(target: "server::c2s", "server info");
        tracing::debug!(target: "server::c2s", "server debug");
        tracing::warn!(target: "hyper::proto", "library warning");
        tracing::info!(target: "hyper::proto", "library info");
    }

    fn heard(text: &str) -> Vec<&str> {
        let all = ["server info", "server debug", "library warning", "library info"];
        all.into_iter().filter(|line| text.contains(line)).collect()
    }

    #[test]
    fn the_level_changes_at_run_time() {
        logged(&General::default(), |logging, lines| {
            speak();
            assert_eq!(heard(&lines.take()), ["server info", "library warning"]);
            logging.set_level(LogLevel::Debug);
            assert_eq!(logging.level(), LogLevel::Debug);
            speak();
            assert_eq!(heard(&lines.take()), ["server info", "server debug", "library warning"]);
            logging.set_level(LogLevel::None);
            speak();
            assert_eq!(lines.take(), "");
        });
    }

    #[test]
    fn filters_are_for_single_parts() {
        let log_filters = vec!["hyper=info".parse().unwrap(), "server::c2s=error".parse().unwrap()];
        let general = General { log_filters, ..General::default() };
        logged(&general, |logging, lines| {
            speak();
            assert_eq!(heard(&lines.take()), ["library warning", "library info"]);
            logging.apply(&General::default());
            speak();
            assert_eq!(heard(&lines.take()), ["server info", "library warning"]);
        });
    }

    #[test]
    fn json_is_one_object_a_line() {
        let general = General { log_format: LogFormat::Json, ..General::default() };
        logged(&general, |_, lines| {
            tracing::info!(target: "server", jid = "juliet@localhost/\"x\"", "the session\nbegan");
            tracing::info!(target: "server", "again");
            let text = lines.take();
            let objects: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(objects.len(), 2);
            assert_eq!(objects[0]["jid"], "juliet@localhost/\"x\"");
            assert_eq!(objects[0]["message"], "the session\nbegan");
            assert_eq!(objects[0]["level"], "INFO");
        });
    }

    #[test]
    fn text_is_one_line_an_event_and_without_colours_in_a_file() {
        logged(&General::default(), |_, lines| {
            tracing::info!(target: "server", jid = "juliet@localhost", "the session began");
            let text = lines.take();
            assert!(text.ends_with(" INFO server: the session began jid=\"juliet@localhost\"\n"), "{text}");
            assert!(!text.contains('\u{1b}'));
        });
    }
}
