//! Properties that hold for any bytes: what is accepted, what it means, what it costs.
//!
//! Inputs are made from a tape of random bytes (`tape`), so that the fuzz targets can make the same ones.

mod addresses;
mod cost;
mod cuts;
mod oracle;
mod rxml;
mod tape;

/// So many cases, or as many as `PROPTEST_CASES` wants.
fn cases(count: u32) -> proptest::test_runner::Config {
    let config = proptest::test_runner::Config::default();
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => proptest::test_runner::Config { cases: count, ..config },
    }
}
