//! Faults of PostgreSQL under a server with sessions and load: real connections of clients on one side, a real
//! database on the other, and something that goes wrong with it.
//!
//! What every test here asks: senders are told to wait while nothing can be saved, and are served again within
//! seconds once it can; no session ends; what was acknowledged has arrived, once and in order, and is in its sender's
//! archive; what was refused is nowhere (messages.md, rules 1, 2, 5 and 13).
//!
//! `MEERKAT_OUTAGE_SECONDS` says how long a database stays away.

mod away;
mod conflicts;
mod disk;
mod live;
mod load;
mod pair;
mod standby;
