//! Where a blocking caller waits for its outcome.

use super::lock;
use crate::op::Outcome;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// A blocking caller's place to wait.
#[derive(Default)]
pub(crate) struct Slot {
    outcome: Mutex<Option<Outcome>>,
    filled: Condvar,
}

impl Slot {
    pub(super) fn fill(&self, outcome: Outcome) {
        *lock(&self.outcome) = Some(outcome);
        self.filled.notify_one();
    }

    /// Waits for the outcome, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let guard = lock(&self.outcome);
        let (mut guard, _) = self
            .filled
            .wait_timeout_while(guard, timeout, |outcome| outcome.is_none())
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        guard.take()
    }
}
