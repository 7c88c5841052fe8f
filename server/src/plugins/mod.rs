//! The stores that `storage.main` may choose. They depend on `storage` and on nothing else of the
//! server.

pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;
