//! The engine's clock: a thread that answers operations whose time is up, whatever the worker threads are
//! stuck in, wakes another thread where a locked operation is due or the oldest has waited too long, and
//! starts clean-ups.

use super::queue::Queue;
use super::{Job, Shared};
use crate::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// How often it looks. Deadlines are kept to about this.
const TICK: Duration = Duration::from_millis(20);

/// It goes on ticking for so long after the last operation, so that callers need not wake it while there
/// is traffic.
const LINGER: Duration = Duration::from_secs(1);

/// Runs until the engine stops.
pub(super) fn run(shared: &Arc<Shared>) {
    while catch_unwind(AssertUnwindSafe(|| tick_until_stopped(shared))).is_err() {}
}

fn tick_until_stopped(shared: &Arc<Shared>) {
    let mut queue = shared.lock();
    while !queue.stopping {
        let now = Instant::now();
        let expired = queue.expired(now);
        let wake = queue.wake(now, shared.most_threads);
        let recent = queue
            .last_submit
            .is_some_and(|last| now.saturating_duration_since(last) < LINGER);
        let sleep = queue.is_quiet() && !recent;
        drop(queue);
        shared.wake(wake);
        shared.clean_up(now);
        if !expired.is_empty() {
            expire(shared, expired);
        }
        queue = shared.lock();
        if sleep && queue.is_quiet() {
            queue.clock_sleeps = true;
            // Under the queue's lock, which the end of a clean-up takes before it wakes the clock.
            let next = shared.cleaner.next();
            queue = sleep_until(shared, queue, next);
            queue.clock_sleeps = false;
        } else if !queue.stopping {
            let waited = shared.tick.wait_timeout(queue, TICK);
            queue = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

/// Sleeps until there is an operation to watch, or the time has come.
fn sleep_until<'a>(
    shared: &'a Shared,
    queue: MutexGuard<'a, Queue>,
    at: Option<Instant>,
) -> MutexGuard<'a, Queue> {
    let asleep = |queue: &mut Queue| queue.clock_sleeps && !queue.stopping;
    let Some(at) = at else {
        let woken = shared.tick.wait_while(queue, asleep);
        return woken.unwrap_or_else(|poisoned| poisoned.into_inner());
    };
    let left = at.saturating_duration_since(Instant::now());
    let woken = shared.tick.wait_timeout_while(queue, left, asleep);
    woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

/// Answers operations whose time is up.
fn expire(shared: &Shared, expired: Vec<Job>) {
    let status = shared.pool.status();
    let failure = status.last_failure().map(|failure| failure.reason);
    let opening = status.is_opening();
    let busy = failure.is_none() && !opening;
    let without = expired
        .iter()
        .filter(|job| job.last_error.is_none())
        .count();
    if busy && without > 0 {
        shared.report_busy(without);
    }
    let why: Arc<str> = match &failure {
        Some(reason) => Arc::clone(reason),
        None if opening => "still connecting".into(),
        None => "all connections are busy".into(),
    };
    shared.answer(expired.into_iter().map(|job| {
        let error = match &job.last_error {
            Some(error) => and_no_new_connection(error, failure.as_deref()),
            None => Error::NoConnection {
                server: Arc::clone(&shared.server),
                timeout: job.timeouts.connect,
                reason: Arc::clone(&why),
            },
        };
        (job, error)
    }));
}

/// Adds to a lost connection why no new one could be opened since.
fn and_no_new_connection(last_error: &Error, failure: Option<&str>) -> Error {
    match (last_error, failure) {
        (Error::Lost { server, reason }, Some(failure)) => Error::Lost {
            server: Arc::clone(server),
            reason: format!("{reason}; no new one: {failure}").into(),
        },
        _ => last_error.clone(),
    }
}
