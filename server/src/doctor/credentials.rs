//! Passwords that stand in every documentation.

use crate::config::{self, Config, Environment};
use crate::storage::Finding;

pub fn examine(config: &Config) -> Vec<Finding> {
    let keys = config::well_known_credentials(config);
    if keys.is_empty() {
        return vec![Finding::ok(
            "credentials",
            "no password that everybody knows, to a service that others reach",
        )];
    }
    let advice = "give the service another password, and put it here";
    let finding = |key: &&str| match config.general.environment {
        Environment::Development => Finding::warning(
            "credentials",
            format!(
                "{key} has a password that everybody knows, which general.environment = \"development\" allows"
            ),
            advice,
        ),
        Environment::Production => {
            Finding::failed("credentials", format!("{key} has a password that everybody knows"), advice)
        }
    };
    keys.iter().map(finding).collect()
}
