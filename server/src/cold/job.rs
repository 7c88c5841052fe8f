//! The job of one server, of all that share a store: what is old is moved once a day, and what was given up leaves its
//! files within a minute.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Cold;
use crate::jobs::{self, Turn};
use crate::retention::{AFTER_ERROR, AFTER_START, EVERY};
use crate::storage::{Millis, StoreError};

/// How long the removal of an account waits for that of another.
const TOGETHER: Duration = Duration::from_secs(1);

impl Cold {
    /// Does it whenever it is this server's turn, until it is told to stop. `now` gives the time, and `before` the time
    /// before which messages are moved, if they are.
    pub async fn work(
        self: Arc<Cold>,
        mut turn: Turn,
        now: impl Fn() -> Millis + Send + 'static,
        before: impl Fn(Millis) -> Option<Millis> + Send + 'static,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut next_move = Instant::now() + AFTER_START;
        let mut pause = Duration::from_secs(1);
        loop {
            tokio::select! {
                () = until_told(&mut stopping) => break,
                // Others may be removed with it.
                () = self.removed.notified() => tokio::time::sleep(TOGETHER).await,
                () = tokio::time::sleep(pause) => {}
            }
            pause = jobs::ASK_EVERY;
            if turn.take().await.is_ok_and(|lease| lease.is_some()) {
                let done = self.tend(&mut turn, now(), &before, &mut next_move);
                // Dropped where the server stops: every step of it can be the last one.
                let done = tokio::select! {
                    done = done => done,
                    () = until_told(&mut stopping) => break,
                };
                if let Err(error) = done {
                    turn.forget();
                    tracing::warn!(%error, "the cold archive has to wait");
                    pause = AFTER_ERROR.min(jobs::ASK_EVERY * 4);
                }
            }
            if let Ok(usage) = self.usage().await {
                self.watch.cold(usage);
            }
        }
        turn.give_back().await;
    }

    async fn tend(
        &self,
        turn: &mut Turn,
        now: Millis,
        before: &impl Fn(Millis) -> Option<Millis>,
        next_move: &mut Instant,
    ) -> Result<(), StoreError> {
        let tidied = self.tidy(turn, now).await?;
        if tidied != Default::default() {
            let (rewritten, removed) = (tidied.rewritten, tidied.removed);
            tracing::info!(rewritten, removed, "what was given up left the cold archive");
        }
        let Some(before) = before(now).filter(|_| *next_move <= Instant::now()) else { return Ok(()) };
        *next_move = Instant::now() + AFTER_ERROR;
        if let Some(moved) = self.move_before(turn, before, now).await? {
            *next_move = Instant::now() + EVERY;
            if moved.files > 0 {
                let (files, messages, bytes) = (moved.files, moved.messages, moved.bytes);
                tracing::info!(files, messages, bytes, "old messages were moved into the cold archive");
            }
        }
        Ok(())
    }
}

async fn until_told(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
