//! What is counted and timed, and how it is told.

pub mod histogram;
pub mod meter;
pub mod process;
pub mod report;
pub mod sequence;
