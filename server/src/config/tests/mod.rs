//! What reading promises, a file per promise.

mod environment;
mod faults;
mod reference;
mod reload;
mod secrets;

use std::ffi::OsString;
use std::path::Path;

use super::{Config, Problems, parse};

fn read(toml: &str) -> Result<Config, Problems> {
    read_with(toml, &[])
}

fn read_with(toml: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let environment: Vec<(OsString, OsString)> =
        variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    parse(toml, Path::new("m.toml"), &environment)
}

/// All complaints, a line each.
fn complaints(toml: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let problems = read_with(toml, variables).expect_err("something is wrong with it");
    problems.to_string().lines().map(str::to_owned).collect()
}
