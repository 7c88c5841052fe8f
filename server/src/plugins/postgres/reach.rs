//! Whether the database can be reached, known to all who want a connection.
//!
//! Once it could not be, nobody waits for it any more: one task asks it every quarter of a second, and
//! everybody else is refused at once until that task was answered. A database that hangs, and answers nobody, would
//! otherwise keep each sender for as long as connecting may take.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::link::{self, Opening, Options};
use crate::storage::StoreError;

/// How often a database that is away is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

#[derive(Default)]
pub struct Reach {
    /// Why it cannot be reached, while it cannot.
    away: Mutex<Option<StoreError>>,
}

impl Reach {
    /// Why nobody need try to connect now.
    pub fn away(&self) -> Option<StoreError> {
        self.away.lock().clone()
    }

    /// It could not be reached: from now on one task tries, and nobody else.
    pub fn lost(&self, error: &StoreError, options: &Options) {
        let known = self.away.lock().replace(error.clone()).is_some();
        if !known {
            tokio::spawn(ask(options.clone()));
        }
    }

    fn found(&self) {
        *self.away.lock() = None;
    }
}

/// Until it can be reached, or the store is gone.
async fn ask(mut options: Options) {
    let reach = Arc::downgrade(&std::mem::take(&mut options.reach));
    loop {
        sleep(ASK_EVERY).await;
        let Some(there) = reach.upgrade() else { return };
        let said = match link::connect_now(&options).await {
            Err(Opening::Late(error)) => error,
            // What waiting does not cure, whoever wants a connection is to hear for himself.
            Ok(_) | Err(Opening::Busy(_) | Opening::Never(_)) => return there.found(),
        };
        *there.away.lock() = Some(said);
    }
}
