//! The configuration: what may be set, its defaults, and how it is read.
//!
//! Each key is written once, in the tables of `sections.rs`, `limits.rs` and `modules.rs`: its name, type, default,
//! range, one sentence about it, and whether a reload applies it. Reading, the resolved output, the differences at a
//! reload and `config/meerkat.toml` all follow from these tables.

#[macro_use]
mod schema;
mod limits;
mod modules;
mod sections;
mod values;

pub use limits::Limits;
pub use modules::*;
pub use sections::*;
pub use values::*;
