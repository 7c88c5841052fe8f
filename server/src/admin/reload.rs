//! A reload of the configuration: the same for `meerkatctl server reload` and for SIGHUP.

use std::sync::Arc;

use super::Admin;
use super::server::{Changed, Reloaded};
use crate::config::{self, Applies, Change, Problems};

impl Admin {
    /// Reads the configuration again and takes up what can be, each change with a line in the log. With
    /// any fault in it nothing is taken up.
    pub async fn reload(self: &Arc<Admin>) -> Result<Reloaded, Problems> {
        let admin = self.clone();
        // It reads files.
        let reloaded = tokio::task::spawn_blocking(move || admin.reload_now()).await;
        // Only a runtime that ends gives no answer, and then nobody asks.
        reloaded.unwrap_or_else(|_| Ok(Reloaded::default()))
    }

    fn reload_now(&self) -> Result<Reloaded, Problems> {
        let environment = config::environment();
        let file = config::config_file(self.config_option.as_deref(), &environment);
        let mut new = config::load(file.as_deref(), &environment).inspect_err(|problems| {
            for problem in &problems.0 {
                tracing::error!("the configuration is not reloaded: {problem}");
            }
        })?;
        new.settle(config::data_dir(self.data_option.as_deref(), &environment, &new));
        let level = self.logging.level();
        self.logging.apply(&new.general);
        let set_back = Change {
            key: "general.log_level".to_owned(),
            old: Some(format!("\"{level}\"")),
            new: Some(format!("\"{}\"", new.general.log_level)),
            applies: Applies::Now,
        };
        let (mut changes, refused) = self.node.reload(new);
        // The level that an operator had set by hand ends with a reload.
        if set_back.old != set_back.new && changes.iter().all(|change| change.key != set_back.key) {
            changes.insert(0, set_back);
        }
        let refused = refused.iter().map(|error| error.to_string()).collect();
        let mut reloaded = Reloaded { refused, ..Reloaded::default() };
        for Change { key, old, new, applies } in changes {
            let (changed, what) = match applies {
                Applies::Now => (&mut reloaded.applied, "applied"),
                Applies::New => (&mut reloaded.new_connections, "applied to new connections"),
                Applies::Restart => (&mut reloaded.need_restart, "needs a restart"),
            };
            tracing::info!(key, old, new, "a change of the configuration: {what}");
            changed.push(Changed { key, old, new });
        }
        tracing::info!(
            applied = reloaded.applied.len(),
            new_connections = reloaded.new_connections.len(),
            need_restart = reloaded.need_restart.len(),
            "the configuration was reloaded"
        );
        Ok(reloaded)
    }
}
