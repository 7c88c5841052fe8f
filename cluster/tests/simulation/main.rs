//! Nodes in one process, on a network in memory, in a time that passes when nobody has anything to do.
//! One file per invariant.
//!
//! `MEERKAT_SEEDS=1000` runs more seeds than a build does; `MEERKAT_SEED=17` runs that one alone. A seed
//! that fails is printed.

mod converge;
mod dead_node;
mod leader;
mod members;
mod one_session;
mod quorum;
mod sim;
