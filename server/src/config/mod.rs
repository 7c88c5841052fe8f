//! The configuration: what may be set, its defaults, and how it is read.
//!
//! Each key is written once, in the tables of `sections.rs`, `limits.rs` and `modules.rs`: its name, type,
//! default, range, sentences about it, and whether a reload applies it. Reading, the resolved output, the
//! differences at a reload and the reference file `config/meerkat.toml` all follow from these tables.

#[macro_use]
mod schema;
mod changes;
mod check;
mod cold;
mod credentials;
mod environment;
mod error;
mod events;
mod limits;
mod listen;
mod locate;
mod modules;
mod nearest;
mod read;
pub mod redis_url;
mod render;
mod s3;
mod scalar;
mod sections;
mod source;
mod storage;
#[cfg(test)]
mod tests;
mod values;
pub(crate) mod words;

use std::ffi::OsString;
use std::path::Path;

pub use changes::{Change, diff, reloaded};
pub use cold::*;
pub use credentials::{is_this_machine, is_well_known, well_known as well_known_credentials};
pub use error::{Fault, Origin, Problem, Problems};
pub use events::*;
pub use limits::Limits;
pub use listen::*;
pub use locate::{config_file, data_dir, usual_data_dirs};
pub use modules::*;
pub use render::{reference_toml, resolved_toml};
pub use s3::*;
pub use schema::Applies;
pub use sections::*;
pub use storage::*;
pub use values::*;

/// The process's environment, as the functions here want it.
pub fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Reads the file, if any, lays the environment over it, and checks the whole. All faults are returned at
/// once.
pub fn load(file: Option<&Path>, environment: &[(OsString, OsString)]) -> Result<Config, Problems> {
    let Some(file) = file else { return parse("", Path::new(""), environment) };
    match std::fs::read_to_string(file) {
        Ok(text) => parse(&text, file, environment),
        Err(error) => {
            let fault = Fault::Unreadable { file: file.display().to_string(), reason: error.to_string() };
            Err(Problems(vec![Problem { origin: Origin::Default, key: String::new(), fault }]))
        }
    }
}

/// As `load`, with the file's text in hand; `name` is what errors call it.
pub fn parse(text: &str, name: &Path, environment: &[(OsString, OsString)]) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let mut tree = source::parse_toml(text, name, &mut problems);
    environment::overlay(&mut tree, environment, &mut problems);

    let mut reader = read::Reader::new(problems);
    let mut config = Config::default();
    reader.section(&mut config, &tree, "");

    let mut problems = reader.problems;
    problems.extend(check::check(&config, &tree));
    if problems.is_empty() { Ok(config) } else { Err(Problems::new(problems)) }
}
