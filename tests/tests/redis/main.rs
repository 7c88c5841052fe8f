//! Redis: the cache as it is (`cache.rs`), and servers that share one and a PostgreSQL (`together.rs`, `faults.rs`).

mod cache;
mod client;
mod faults;
mod stage;
mod together;
