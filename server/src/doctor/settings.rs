//! The configuration: is it one, and is it the one that the server runs with?

use std::path::Path;

use super::read;
use crate::config::{self, Config};
use crate::database::Place;
use crate::storage::Finding;

const CHECK: &str = "configuration";

/// The file as it is now, beside what the server runs with.
pub fn of_server(running: &Config, option: Option<&Path>) -> Vec<Finding> {
    let (file, config) = read(option);
    let name = name(file.as_deref());
    let mut now = match config {
        Ok(config) => config,
        Err(problems) => {
            return faults(&problems, "the server goes on as it is: correct this before it is started again");
        }
    };
    if let (None, Some(data_dir)) = (&now.general.data_dir, &running.general.data_dir) {
        now.settle(data_dir.clone());
    }
    let changes = config::diff(running, &now);
    if changes.is_empty() {
        return vec![Finding::ok(CHECK, format!("{name}: no fault, and the server runs with it"))];
    }
    let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    vec![Finding::warning(
        CHECK,
        format!("{name}: no fault, and changed since the server read it: {}", keys.join(", ")),
        "`meerkatctl server reload` takes it up, and says what needs a restart",
    )]
}

/// The file that a server would read.
pub fn of_file(place: &Place) -> (Option<Config>, Vec<Finding>) {
    let (file, config) = read(place.config_option());
    match config {
        Ok(config) => {
            let seen = format!(
                "{}: no fault; no server answers here, so this is what one would find",
                name(file.as_deref())
            );
            (Some(config), vec![Finding::ok(CHECK, seen)])
        }
        Err(problems) => (None, faults(&problems, "correct it: a server does not start with it")),
    }
}

fn faults(problems: &config::Problems, advice: &str) -> Vec<Finding> {
    problems.0.iter().map(|problem| Finding::failed(CHECK, problem.to_string(), advice)).collect()
}

fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "no file, so the defaults".to_owned(), |file| file.display().to_string())
}
