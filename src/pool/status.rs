//! The state of a pool's connections: how the last attempt to open one ended, and how to interrupt
//! all of them.

use super::open_error::OpenError;
use crate::host::lock;
use crate::host::log::{self, Level, Limited};
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct Status {
    known: Mutex<Known>,
    /// The log lines about failures.
    failures: Limited,
    /// Ends what all connections do, now and later.
    pub(super) stop: CancellationToken,
}

#[derive(Default)]
struct Known {
    /// Why the last attempt failed, and when the next may be made.
    last_failure: Option<(OpenError, Instant)>,
    /// How many attempts in a row have failed.
    failures: u32,
    opening: usize,
    /// How many attempts have succeeded, and how many have failed.
    attempts: (u64, u64),
    closed: bool,
}

/// The pauses after failed attempts: the first, which is doubled each time, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// The pause after so many failures in a row. It is chosen at random between a half and the whole, so that
/// workers do not connect at the same moment.
fn pause(failures: u32) -> Duration {
    let pause = (RETRY_PAUSE.0 * (1 << failures.min(10))).min(RETRY_PAUSE.1);
    let random = RandomState::new().hash_one(failures) % 1024;
    pause / 2 + pause / 2 * random as u32 / 1024
}

impl Status {
    /// Why the last attempt failed, unless one has succeeded since.
    pub(crate) fn last_failure(&self) -> Option<OpenError> {
        let known = lock(&self.known);
        known.last_failure.as_ref().map(|(error, _)| error.clone())
    }

    /// When the next attempt may be made, if the last one has failed.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let known = lock(&self.known);
        known.last_failure.as_ref().map(|(_, next)| *next)
    }

    /// How many attempts are under way.
    pub(crate) fn opening(&self) -> usize {
        lock(&self.known).opening
    }

    /// How many attempts have succeeded, have failed, and are under way.
    pub(crate) fn attempts(&self) -> (u64, u64, u64) {
        let known = lock(&self.known);
        (known.attempts.0, known.attempts.1, known.opening as u64)
    }

    pub(crate) fn close(&self) {
        lock(&self.known).closed = true;
    }

    /// Ends what all connections do, now and later.
    pub(crate) fn cancel_all(&self) {
        self.stop.cancel();
    }

    /// Makes an attempt to connect to `servers`, unless the pool is closed. Notes and logs how it
    /// ended.
    pub(super) fn attempt<T>(
        &self,
        servers: &str,
        open: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let mut known = lock(&self.known);
        if known.closed {
            return Err(OpenError::failed("connect", "the pool is closed"));
        }
        known.opening += 1;
        drop(known);
        let opened = catch_unwind(AssertUnwindSafe(open))
            .unwrap_or_else(|_| Err(OpenError::failed("connect", "internal error")));
        let mut known = lock(&self.known);
        known.opening -= 1;
        let failed_before = known.last_failure.take().is_some();
        match &opened {
            Ok(_) => {
                known.attempts.0 += 1;
                known.failures = 0;
            }
            Err(failure) => {
                known.attempts.1 += 1;
                known.failures += 1;
                let next = Instant::now() + pause(known.failures);
                known.last_failure = Some((failure.clone(), next));
            }
        }
        drop(known);
        match &opened {
            Ok(_) if failed_before => {
                log::log(Level::Notice, format!("connected to {servers} again"));
            }
            Ok(_) => {}
            Err(failure) => self
                .failures
                .log(Level::Error, || format!("no connection to {servers}: {}", failure.reason)),
        }
        opened
    }
}
