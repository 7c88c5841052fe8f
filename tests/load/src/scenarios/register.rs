//! `register`: makes the accounts that the other scenarios use.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;

use super::{dialer, in_parallel, process};
use crate::error::Result;
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::options::{Output, Target};
use crate::xmpp::register::Registered;
use crate::xmpp::scan;

#[derive(Args, Debug)]
pub struct Register {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    /// How many accounts to make.
    #[arg(long, default_value_t = 200)]
    pub count: usize,
    /// Print them as CSV (`jid,password`) for the server's own import, and make none.
    #[arg(long)]
    pub csv: bool,
}

/// Returns no report when the accounts were only printed.
pub async fn run(options: &Register) -> Result<Option<Report>> {
    let dialer = dialer(&options.target, options.target.setup_concurrency).await?;
    let first = options.target.first;
    if options.csv {
        println!("jid,password");
        for account in first..first + options.count {
            println!("{},{}", dialer.bare_jid(account), dialer.password());
        }
        return Ok(None);
    }
    let stopwatch = Stopwatch::start(process(&options.output)?)?;
    let made = in_parallel(options.count, options.target.setup_concurrency, |number| {
        let dialer = dialer.clone();
        async move { dialer.register(first + number).await }
    })
    .await?;
    let there = made.iter().filter(|registered| **registered == Registered::WasThere).count();
    let new = made.len() - there;
    let phase = stopwatch.stop("registration", "account", new as u64, None)?;
    let settings = BTreeMap::from([
        ("accounts", json!(options.count)),
        ("first", json!(scan::escape(&dialer.bare_jid(first)))),
    ]);
    let findings = BTreeMap::from([("were there before", json!(there))]);
    Ok(Some(Report {
        scenario: "register",
        settings,
        phases: vec![phase],
        faults: Faults::default(),
        findings,
    }))
}
