//! Makes an account by in-band registration (XEP-0077, section 3.1).

use super::dialer::Dialer;
use super::scan;
use crate::error::{LoadError, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    Made,
    /// Somebody, most likely an earlier run, made it before.
    WasThere,
}

impl Dialer {
    /// Each account on a connection of its own: some servers allow one registration per stream.
    pub async fn register(&self, account: usize) -> Result<Registered> {
        let (mut wire, _) = self.open_stream().await?;
        let request = format!(
            "<iq type='set' id='register'><query xmlns='jabber:iq:register'><username>{}</username>\
             <password>{}</password></query></iq>",
            scan::escape(&self.username(account)),
            scan::escape(self.password()),
        );
        wire.outbox.other().extend_from_slice(request.as_bytes());
        match self.answer(&mut wire, "register").await {
            Ok(_) => Ok(Registered::Made),
            Err(LoadError::Refused { answer, .. }) if answer.contains("<conflict") => {
                Ok(Registered::WasThere)
            }
            Err(error) => Err(error),
        }
    }
}
