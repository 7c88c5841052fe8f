//! `meerkatctl`: the operator's tool.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::ctl::main()
}
