//! What a node does beside its clients' work, and which of several nodes does what is one's alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Node;
use crate::cold::Cold;
use crate::config::Config;
use crate::jobs::{self, Turn};
use crate::retention;
use crate::storage::archive::Tended;
use crate::storage::{Job, StoreError, Write, Written};

/// How often the store is asked how it is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Node {
    pub fn turn(&self, job: Job) -> Turn {
        Turn::new(self.router.store.clone(), job, self.holder.clone())
    }

    /// Starts what moves old messages.
    pub(super) fn tend(&self, cold: &Arc<Cold>) {
        let (router, config) = (self.router.clone(), self.config.clone());
        let before = move |now: u64| {
            let days = config.load().modules.mam.cold.after_days.at_most()?;
            Some(now.saturating_sub(days.saturating_mul(retention::DAY)))
        };
        let work =
            cold.clone().work(self.turn(Job::Cold), move || router.now(), before, self.stopping.subscribe());
        tokio::spawn(work);
    }

    /// Once a day, and soon after it has become this node's turn; after an error sooner.
    pub(super) async fn daily(self: Arc<Self>, job: Job) {
        tokio::time::sleep(retention::AFTER_START).await;
        let mut turn = self.turn(job);
        let mut next = Instant::now();
        while !self.is_stopping() {
            // It is kept between two rounds, so that not every node makes one a day.
            let is_mine = turn.take().await.is_ok_and(|lease| lease.is_some());
            if !is_mine {
                next = Instant::now();
            } else if next <= Instant::now() {
                next = Instant::now() + retention::EVERY;
                if let Err(error) = self.do_daily(&mut turn, job).await {
                    turn.forget();
                    next = Instant::now() + retention::AFTER_ERROR;
                    tracing::warn!(%error, job = job.name(), "what is done daily has to wait");
                }
            }
            let stopped = self.until_asked_to_stop();
            let _ = tokio::time::timeout(jobs::ASK_EVERY, stopped).await;
        }
        turn.give_back().await;
    }

    /// Events that an earlier configuration left in the outbox, and that nobody is told any more: they keep what is
    /// said in them no longer than those that are.
    async fn forget_old_events(&self, config: &Config) {
        const SLICE: u32 = 256;
        let oldest_kept = Duration::from_secs(u64::from(config.outbox.max_days) * 86_400).as_millis() as u64;
        let before = self.router.now().saturating_sub(oldest_kept);
        while self.events.is_none() {
            let discard = Write::DiscardEvents { bytes: 0, before, limit: SLICE };
            match self.router.store.write(discard).await {
                Ok(Written::Deleted(deleted)) if deleted.rows > 0 => {
                    tracing::warn!(
                        events = deleted.events,
                        "old events went that no event stream was there for"
                    );
                }
                _ => return,
            }
        }
    }

    async fn do_daily(&self, turn: &mut Turn, job: Job) -> Result<(), StoreError> {
        let (config, now) = (self.config.load_full(), self.router.now());
        match job {
            Job::Partitions => {
                let tended = retention::tend(turn, &config, now).await?;
                if tended != Tended::default() {
                    let Tended { made, dropped, still_waiting } = tended;
                    tracing::info!(?made, ?dropped, still_waiting, "the archives have other months now");
                }
            }
            _ => {
                self.forget_old_events(&config).await;
                let dropped = retention::keep(turn, &config, now).await?;
                if dropped > 0 {
                    tracing::info!(dropped, "old messages went from archives");
                }
            }
        }
        Ok(())
    }

    /// Asks the store how it is.
    pub(super) async fn look_around(self: Arc<Self>) {
        while !self.is_stopping() {
            match self.router.store.health().await {
                Ok(()) => self.store_is_well.good(),
                Err(error) => self.store_is_well.bad(error.to_string()),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
