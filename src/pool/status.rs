//! The state of a pool's connections: how the last attempt to open one ended, and how to interrupt
//! all of them.

use super::client::Interrupt;
use super::open_error::OpenError;
use crate::host::log::{self, Level};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// The state of a pool's connections.
#[derive(Default)]
pub(crate) struct Status(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Why the last attempt failed, and when.
    last_failure: Option<(OpenError, Instant)>,
    /// Those of the connections, including those being opened.
    interrupts: Vec<Weak<Interrupt>>,
    /// How many attempts in a row have failed.
    failures: u32,
    opening: usize,
    /// How many attempts have succeeded, and how many have failed.
    attempts: (u64, u64),
    closed: bool,
    /// When a failure was last logged.
    logged: Option<Instant>,
}

/// The pauses after failed attempts: the first, which is doubled each time, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How often an unreachable server is mentioned in the log.
const REMINDER: Duration = Duration::from_secs(10);

impl Status {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Why the last attempt failed, unless one has succeeded since.
    pub(crate) fn last_failure(&self) -> Option<OpenError> {
        let known = self.lock();
        known.last_failure.as_ref().map(|(error, _)| error.clone())
    }

    /// When the next attempt may be made: the pause grows with the number of failures. It is chosen
    /// at random between a half and the whole, so that workers do not connect at the same moment.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let known = self.lock();
        let (_, at) = known.last_failure.as_ref()?;
        let factor = 1 << known.failures.min(10);
        let pause = (RETRY_PAUSE.0 * factor).min(RETRY_PAUSE.1);
        let random = RandomState::new().hash_one(known.failures) % 1024;
        Some(*at + pause / 2 + pause / 2 * random as u32 / 1024)
    }

    /// Whether a connection is being opened now.
    pub(crate) fn is_opening(&self) -> bool {
        self.lock().opening > 0
    }

    /// How many attempts have succeeded, have failed, and are under way.
    pub(crate) fn attempts(&self) -> (u64, u64, u64) {
        let known = self.lock();
        (known.attempts.0, known.attempts.1, known.opening as u64)
    }

    /// Prevents connections from being opened.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Ends what all connections do, now and later.
    pub(crate) fn cancel_all(&self) {
        for interrupt in self.lock().interrupts.drain(..) {
            if let Some(interrupt) = interrupt.upgrade() {
                interrupt.set();
            }
        }
    }

    /// An interrupt that [`Status::cancel_all`] sets.
    pub(super) fn interrupt(&self) -> Arc<Interrupt> {
        let interrupt = Arc::default();
        let mut known = self.lock();
        known.interrupts.retain(|known| known.strong_count() > 0);
        known.interrupts.push(Arc::downgrade(&interrupt));
        interrupt
    }

    /// Notes that an attempt begins, unless the pool is closed.
    pub(super) fn begin(&self) -> Result<(), OpenError> {
        let mut known = self.lock();
        if known.closed {
            return Err(OpenError::failed("connect", "the pool is closed"));
        }
        known.opening += 1;
        Ok(())
    }

    /// Notes and logs how an attempt to connect to `servers` ended.
    pub(super) fn end(&self, servers: &str, failure: Option<&OpenError>) {
        let mut known = self.lock();
        known.opening -= 1;
        let failed_before = known.last_failure.is_some();
        known.last_failure = failure.map(|failure| (failure.clone(), Instant::now()));
        let line = if let Some(failure) = failure {
            known.failures += 1;
            known.attempts.1 += 1;
            let due = known.logged.is_none_or(|at| at.elapsed() >= REMINDER);
            due.then(|| {
                known.logged = Some(Instant::now());
                let text = format!("no connection to {servers}: {failure}");
                (Level::Warn, text)
            })
        } else {
            known.attempts.0 += 1;
            known.failures = 0;
            failed_before.then(|| {
                known.logged = None;
                (Level::Notice, format!("connected to {servers} again"))
            })
        };
        drop(known);
        if let Some((level, text)) = line {
            log::log(level, text);
        }
    }
}
