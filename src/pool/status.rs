//! What is known of a pool's connections: how the last attempt to open one went, and how to cut all
//! of them off.

use crate::deadline::Deadline;
use crate::host::log::{self, Level};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Failure {
    /// The step that failed, and how.
    pub(crate) reason: Arc<str>,
    /// The server (or its certificate) said no: waiting does not help.
    pub(crate) refused: bool,
    /// When.
    pub(crate) at: Instant,
}

impl Failure {
    pub(super) fn new(step: &str, error: impl std::fmt::Display, refused: bool) -> Self {
        Failure {
            reason: format!("{step}: {error}").into(),
            refused,
            at: Instant::now(),
        }
    }
}

/// What the pool's users may know of its connections.
#[derive(Default)]
pub(crate) struct Status(Mutex<Known>);

#[derive(Default)]
struct Known {
    last_failure: Option<Failure>,
    /// The deadlines of the connections, to cancel them by; also of those being opened.
    deadlines: Vec<Weak<Deadline>>,
    /// How many attempts in a row have failed.
    failures: u32,
    opening: usize,
    /// How many attempts have succeeded and failed.
    attempts: (u64, u64),
    closed: bool,
    /// Since when a failure was last logged.
    logged: Option<Instant>,
}

/// The pauses after failed attempts: what is doubled each time, and the longest. A server that is
/// back is found within the latter.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How often a server that stays away is mentioned in the log.
const REMINDER: Duration = Duration::from_secs(10);

impl Status {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Why the last attempt failed, unless one has succeeded since.
    pub(crate) fn last_failure(&self) -> Option<Failure> {
        self.lock().last_failure.clone()
    }

    /// When the next attempt may be made: soon after a first failure, ever later after more of
    /// them. The pause is drawn from its second half, so that many workers do not come together.
    pub(crate) fn next_attempt(&self) -> Option<Instant> {
        let known = self.lock();
        let failure = known.last_failure.as_ref()?;
        let factor = 1 << known.failures.min(10);
        let pause = (RETRY_PAUSE.0 * factor).min(RETRY_PAUSE.1);
        let luck = RandomState::new().hash_one(known.failures) % 1024;
        Some(failure.at + pause / 2 + pause / 2 * luck as u32 / 1024)
    }

    /// Whether a connection is being opened now.
    pub(crate) fn is_opening(&self) -> bool {
        self.lock().opening > 0
    }

    /// How many attempts have succeeded and failed, and how many are under way.
    pub(crate) fn attempts(&self) -> (u64, u64, u64) {
        let known = self.lock();
        (known.attempts.0, known.attempts.1, known.opening as u64)
    }

    /// Lets no connection be opened any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Makes everything that connections do fail, now and later.
    pub(crate) fn cancel_all(&self) {
        for deadline in self.lock().deadlines.drain(..) {
            if let Some(deadline) = deadline.upgrade() {
                deadline.cancel();
            }
        }
    }

    /// A deadline that [`Status::cancel_all`] knows.
    pub(super) fn deadline(&self, at: Instant) -> Arc<Deadline> {
        let deadline = Arc::new(Deadline::default());
        deadline.set(at);
        let mut known = self.lock();
        known.deadlines.retain(|known| known.strong_count() > 0);
        known.deadlines.push(Arc::downgrade(&deadline));
        deadline
    }

    /// Notes that an attempt begins, unless the pool is closed.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        let mut known = self.lock();
        if known.closed {
            return Err(Failure::new("connect", "the pool is closed", false));
        }
        known.opening += 1;
        Ok(())
    }

    /// Notes, and logs, how an attempt to connect to `servers` ended.
    pub(super) fn end(&self, servers: &str, failure: Option<&Failure>) {
        let mut known = self.lock();
        known.opening -= 1;
        let failed_before = known.last_failure.is_some();
        known.last_failure = failure.cloned();
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
