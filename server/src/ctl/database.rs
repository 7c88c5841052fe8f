//! Commands to the database itself, for which no server is asked.

use std::io::Write;
use std::process::ExitCode;

use super::failure::{self, Failure};
use super::json::{self, Path};
use crate::admin::protocol::{Code, Refusal};
use crate::database::DatabaseCommand;

pub fn run(
    command: DatabaseCommand,
    as_json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let refused = |why: String| Failure::Refused(Refusal::new(Code::Unavailable, why));
    let outcome = command.run().map_err(refused)?;
    match as_json {
        true => json::done(out, path, &outcome.result),
        false => outcome.lines.iter().try_for_each(|line| writeln!(out, "{line}")),
    }
    .map_err(Failure::Output)?;
    Ok(if outcome.is_bad { failure::REFUSED.into() } else { ExitCode::SUCCESS })
}
