//! `config/meerkat.toml` says what the code says.

use std::path::{Path, PathBuf};

use super::read;
use crate::config::{Config, reference_toml};
#[cfg(feature = "full")]
use crate::config::{Save, Secret, resolved_toml};

/// Set to write the file anew from the code: `MEERKAT_WRITE_REFERENCE=1 cargo test -p server every_key`.
const WRITE: &str = "MEERKAT_WRITE_REFERENCE";

fn reference_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/meerkat.toml")
}

fn reference() -> String {
    std::fs::read_to_string(reference_path()).unwrap()
}

/// Takes the `#` from settings, which follow it without a space, and leaves it to words.
fn uncommented(toml: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    toml.lines().map(line).collect()
}

#[test]
fn the_file_has_every_key_its_sentences_and_its_default() {
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(reference_path(), reference_toml()).unwrap();
    }
    let same = reference() == reference_toml();
    assert!(same, "config/meerkat.toml is not what the code says; set {WRITE}=1 to write it");
}

#[test]
fn the_file_is_the_default() {
    assert_eq!(read(&reference()), Ok(Config::default()));
}

// The keys of a plugin are refused where it was not compiled in.
#[cfg(feature = "full")]
#[test]
fn the_file_loads_with_all_keys_uncommented() {
    let text = uncommented(&reference());
    let config = read(&text).unwrap();
    assert_eq!(config.domain[0].messages.save, Some(Save::UnlessDelivered));
    assert_eq!(config.tls.certificates.len(), 1);
    assert!(config.general.data_dir.is_some());
    assert!(
        !text.lines().any(|line| line.starts_with('#') && line.contains(" = ") && !line.starts_with("# "))
    );
}

#[test]
fn every_key_is_explained_in_sentences() {
    let mut words = String::new();
    for line in reference_toml().lines().skip_while(|line| !line.is_empty()) {
        let setting = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
        if let Some(more) = line.strip_prefix("# ") {
            words.push_str(more);
        } else if line.contains(" = ") && words.is_empty() {
            // The second listener shows only what differs from the first.
            assert!(["port", "tls"].contains(&setting), "{setting} has no sentence");
        } else {
            let ends = words.is_empty() || words.ends_with('.') || words.ends_with(')');
            assert!(ends, "before {line}: {words}");
            words.clear();
        }
    }
}

// The keys of a plugin are refused where it was not compiled in.
#[cfg(feature = "full")]
#[test]
fn the_resolved_form_is_the_same_configuration() {
    let mut config = read(&uncommented(&reference())).unwrap();
    // A password is not shown, so that there must be none.
    config.storage.postgres.url = Some(Secret::new("postgres://meerkat@localhost/meerkat"));
    config.storage.redis.password = None;
    assert_eq!(read(&resolved_toml(&config)), Ok(config.clone()));
    config.listen.metrics.0.clear();
    config.domain.0.clear();
    assert_eq!(read(&resolved_toml(&config)), Ok(config));
    assert_eq!(read(&resolved_toml(&Config::default())), Ok(Config::default()));
}

#[test]
fn no_key_looks_like_the_file_form_of_a_variable() {
    let keys = uncommented(&reference_toml());
    assert!(!keys.lines().any(|line| line.split(" = ").next().is_some_and(|key| key.ends_with("_file"))));
}
