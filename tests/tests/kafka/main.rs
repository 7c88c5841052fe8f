//! The event stream of the real server in a real Apache Kafka: what a consumer reads, and what becomes of it when
//! the broker, the server or both are killed.

#[allow(dead_code, reason = "shared with the tests of meerkatctl, which use all of it")]
#[path = "../meerkatctl/client.rs"]
mod client;
mod conversation;
mod full;
mod kill;
mod secure;
#[allow(dead_code, reason = "shared with the tests of meerkatctl, which use all of it")]
#[path = "../meerkatctl/server.rs"]
mod server;
mod stage;
