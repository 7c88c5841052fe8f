//! The operator's tool against a running server, both the real binaries (operations.md, section 8;
//! docs/meerkatctl.md).

mod accounts;
mod archives;
mod client;
mod cold;
mod database;
mod doctor;
mod first_run;
mod import;
mod lifecycle;
mod reload;
mod rosters;
mod server;
mod sessions;
mod socket;
mod stanzas;
mod uploads;
mod usage;
