//! What is known of S3 without asking: who asks for a slot is not to wait long, nor to be promised what S3 will not take.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::failure::Failure;
use crate::storage::StoreError;

/// A question whose answer nobody waits for longer.
pub const PROBE: Duration = Duration::from_secs(3);
/// What went well so recently goes well.
const WELL: Duration = Duration::from_secs(10);
/// What failed so recently is not tried again.
const AWAY: Duration = Duration::from_secs(2);

#[derive(Default)]
pub struct Known {
    last: Mutex<Option<(Instant, Result<(), StoreError>)>>,
    /// One asks, the others hear what he was told.
    asking: tokio::sync::Mutex<()>,
}

impl Known {
    /// How a request ended.
    pub fn heard(&self, failure: Option<&Failure>) {
        let state = match failure {
            Some(failure) if failure.is_away() => Err(failure.error.clone()),
            // A refusal is an answer, and none to the question whether the bucket can be written.
            Some(_) => return,
            None => Ok(()),
        };
        *self.last.lock() = Some((Instant::now(), state));
    }

    /// What is known, or what `probe` finds out.
    pub async fn or_probe<F: Future<Output = Result<(), StoreError>>>(
        &self,
        probe: impl FnOnce() -> F,
    ) -> Result<(), StoreError> {
        if let Some(known) = self.fresh() {
            return known;
        }
        let _turn = self.asking.lock().await;
        if let Some(known) = self.fresh() {
            return known;
        }
        let found = probe().await;
        *self.last.lock() = Some((Instant::now(), found.clone()));
        found
    }

    fn fresh(&self) -> Option<Result<(), StoreError>> {
        let last = self.last.lock();
        let (time, state) = last.as_ref()?;
        let holds = if state.is_ok() { WELL } else { AWAY };
        (time.elapsed() < holds).then(|| state.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_not_asked() {
        let known = Known::default();
        let away = || Err(StoreError::Unavailable("away".to_owned()));
        assert_eq!(known.or_probe(|| async { away() }).await, away());
        assert_eq!(known.or_probe(|| async { Ok(()) }).await, away(), "it was asked a moment ago");
        tokio::time::advance(AWAY).await;
        assert_eq!(known.or_probe(|| async { Ok(()) }).await, Ok(()));
        assert_eq!(known.or_probe(|| async { away() }).await, Ok(()));
        tokio::time::advance(WELL).await;
        assert_eq!(known.or_probe(|| async { away() }).await, away());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_asks_once() {
        let known = Known::default();
        let asked = std::sync::atomic::AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(PROBE).await;
            Err(StoreError::Unavailable("away".to_owned()))
        };
        let begun = Instant::now();
        let (one, two, three) = tokio::join!(known.or_probe(ask), known.or_probe(ask), known.or_probe(ask));
        assert!(one.is_err() && two.is_err() && three.is_err());
        assert_eq!((begun.elapsed(), asked.into_inner()), (PROBE, 1));
    }
}
