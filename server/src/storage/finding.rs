//! What somebody who examined a part of the server found: for `meerkatctl doctor`, and for the stores and services
//! that it asks to examine themselves.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, and something about it is not as it should be.
    Warning,
    /// It does not work, or will not for some.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `disk`, or `dns example.com`.
    pub check: String,
    pub level: Level,
    /// What was seen, a sentence or less.
    pub seen: String,
    /// What to do about it, where there is anything to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(check: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { check: check.into(), level: Level::Ok, seen: seen.into(), advice: None }
    }

    pub fn warning(check: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, advice: Some(advice.into()), ..Finding::ok(check, seen) }
    }

    pub fn failed(check: impl Into<String>, seen: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { level: Level::Failed, advice: Some(advice.into()), ..Finding::ok(check, seen) }
    }
}
