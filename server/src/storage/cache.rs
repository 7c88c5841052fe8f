//! A cache that nodes share. It may be away, slow, emptied, replaced or restored from an old copy at any moment;
//! what must follow from that for what is kept in it is the affair of those who use it (`accounts/shared.rs`,
//! `c2s/admission/shared.rs`). Nothing is lost with it.

use std::time::Duration;

use bytes::Bytes;

use super::Fut;
use crate::config::words::words;

pub type CacheFut<'a, T> = Fut<'a, Result<T, CacheError>>;

/// Why the cache did not do what it was asked; or did it, and did not say so in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheError {
    /// There is no connection to it, or it was slow just now and is left alone for a moment.
    Away,
    /// No answer within the time limit. It may still be carried out, at any later moment.
    Slow,
    /// It answered with an error, or the connection broke.
    Broken(String),
}

/// Which cache it is: another one whenever what it holds may have changed by itself, as by a restart or by another
/// server that took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(pub u64);

/// Random numbers by which versions of a value, changes under way and times of agreement are told apart. None is
/// ever used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub u64);

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The version that the reader knows already.
    Same,
    Value(Token, Bytes),
    /// Nothing. Who reads it elsewhere from now on may put it, with this token.
    Absent(Token),
    /// Somebody is changing it: it is to be read elsewhere, and not to be put.
    Changing,
}

/// What is done with the failures of one within a group: a source's with an account, or an account's from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Only looks.
    Check,
    Failed,
    /// Forgets what this one failed.
    Succeeded,
}

#[derive(Debug, Clone)]
pub struct Failures {
    pub group: String,
    pub one: String,
    pub within: Duration,
    /// How many of one's failures count for the group.
    pub share: u64,
}

/// What failed within the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailureCounts {
    pub one: u64,
    /// What of these counts for the group.
    pub share: u64,
    pub group: u64,
}

/// Each is answered within the cache's time limit. Where an `Identity` is asked for, another cache answers `Away`.
pub trait Cache: Send + Sync {
    /// The cache that there is a connection to, if it answers.
    fn identity(&self) -> Option<Identity>;

    /// `epoch`: what was put in another one is as if it were not there.
    fn look<'a>(
        &'a self,
        of: Identity,
        epoch: Token,
        key: &'a str,
        known: Option<Token>,
    ) -> CacheFut<'a, Look>;
    /// Keeps a value, unless anything happened to the key since `Look::Absent` gave the token. `None`: a value that
    /// is too large, of which only the version is kept.
    fn put<'a>(
        &'a self,
        of: Identity,
        epoch: Token,
        key: &'a str,
        token: Token,
        value: Option<Bytes>,
        lifetime: Duration,
    ) -> CacheFut<'a, ()>;
    /// A change begins: forgets the value, and keeps nothing there until `end`, or until the lifetime is over.
    fn begin<'a>(&'a self, of: Identity, key: &'a str, change: Token, lifetime: Duration)
    -> CacheFut<'a, ()>;
    /// The change is made: forgets the value, and whatever was read before is put no more.
    fn end<'a>(&'a self, of: Identity, key: &'a str, change: Token) -> CacheFut<'a, ()>;
    /// Forgets all values. Takes as long as it takes.
    fn clear<'a>(&'a self, of: Identity) -> CacheFut<'a, ()>;

    fn failures<'a>(&'a self, of: &'a Failures, attempt: Attempt) -> CacheFut<'a, FailureCounts>;
}

words! {
    /// What is done with a cache.
    pub enum CacheAction {
        Look = "look",
        Put = "put",
        Begin = "begin",
        End = "end",
        Clear = "clear",
        Failures = "failures",
    }
}

words! {
    /// What came of it.
    pub enum CacheOutcome {
        /// It was there, as the reader knew it or as it was given.
        Hit = "hit",
        Miss = "miss",
        Done = "done",
        Away = "away",
        Slow = "slow",
        Error = "error",
    }
}

/// Whom a cache tells how it fares.
pub trait CacheWatch: super::Watch {
    fn asked(&self, action: CacheAction, outcome: CacheOutcome);
}

impl CacheWatch for super::Unwatched {
    fn asked(&self, _: CacheAction, _: CacheOutcome) {}
}

impl CacheOutcome {
    pub fn of<T>(result: &Result<T, CacheError>) -> CacheOutcome {
        match result {
            Ok(_) => CacheOutcome::Done,
            Err(CacheError::Away) => CacheOutcome::Away,
            Err(CacheError::Slow) => CacheOutcome::Slow,
            Err(CacheError::Broken(_)) => CacheOutcome::Error,
        }
    }
}

impl std::fmt::Display for CacheError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CacheError::Away => f.write_str("the cache is away"),
            CacheError::Slow => f.write_str("the cache did not answer in time"),
            CacheError::Broken(why) => write!(f, "the cache failed: {why}"),
        }
    }
}

impl std::error::Error for CacheError {}
