//! One suite over every store: what the server asks of `storage`, each store does.

mod accounts;
mod agree;
mod archives;
mod files;
mod items;
mod leases;
mod messages;
mod outbox;
mod rosters;
mod stage;
mod subscriptions;
mod texts;

/// Runs each play of a module on each kind of store.
#[macro_export]
macro_rules! on_every_store {
    ($($play:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test] async fn $play() { super::$play($crate::stage::Stage::memory()).await; })*
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $play() { super::$play($crate::stage::Stage::sqlite().await).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $play() { super::$play($crate::stage::Stage::postgres().await).await; })*
        }
        mod on_postgres_over_tls {
            $(#[tokio::test] async fn $play() { super::$play($crate::stage::Stage::postgres_over_tls().await).await; })*
        }
    };
}
