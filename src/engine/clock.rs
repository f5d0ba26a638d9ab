//! The engine's clock: a thread that answers operations whose time is up, whatever the worker threads are
//! stuck in, wakes another thread where a locked operation is due, the oldest has waited too long or a
//! connection may be opened again, starts clean-ups, and stops an engine that is not used any more.

use super::queue::WAIT_THRESHOLD;
use super::{BoxedJob, Engine, Queue};
use crate::Error;
use crate::host::log::Level;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// How often it looks, if nothing is planned earlier. Deadlines are kept to about this.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// It goes on ticking for so long after the last operation, so that callers need not wake it while there
/// is traffic.
const LINGER: Duration = Duration::from_secs(1);

pub(super) fn run(engine: &Arc<Engine>) {
    let mut queue = engine.lock();
    while !queue.stopping {
        let now = Instant::now();
        let next = next_tick(engine, &mut queue, now);
        queue.next_tick = Some(next);
        let woken = engine.tick.wait_timeout(queue, next.saturating_duration_since(now));
        queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        queue.next_tick = None;
        let now = Instant::now();
        let expired = queue.remove_if(|job| job.expires() <= now);
        engine.dispatch(queue, now);
        engine.start_clean_ups(now);
        if !expired.is_empty() {
            expire(engine, expired);
        }
        if engine.is_at_rest() {
            (engine.on_idle)();
            engine.stop_if_unused();
        }
        queue = engine.lock();
    }
}

/// Whether the last operation came less than `time` ago.
fn is_recent(queue: &Queue, now: Instant, time: Duration) -> bool {
    queue.last_submit.is_some_and(|at| now.saturating_duration_since(at) < time)
}

/// When there is something to look at next.
fn next_tick(engine: &Engine, queue: &mut Queue, now: Instant) -> Instant {
    if queue.len() == 0 && !is_recent(queue, now, LINGER) {
        // Under the queue's lock, which the end of a clean-up takes before it wakes the clock.
        let look_again = now + engine.keep_time();
        return engine.cleaner.next().map_or(look_again, |at| at.min(look_again));
    }
    // What is past has been looked at.
    let attempt = engine.pool.status().next_attempt().filter(|_| queue.len() > 0);
    let late_at = queue.late_at(engine.most_threads);
    let events = [attempt, late_at].into_iter().flatten().filter(|at| *at > now);
    // The next operation need not wake the clock, which would cost its caller as much as the operation.
    let tick = if is_recent(queue, now, TICK) { WAIT_THRESHOLD } else { TICK };
    events.fold(now + tick, Instant::min)
}

fn expire(engine: &Engine, expired: Vec<BoxedJob>) {
    let status = engine.pool.status();
    let failure = status.last_failure().map(|failure| failure.reason);
    let why: Arc<str> = match &failure {
        Some(reason) => Arc::clone(reason),
        None if status.opening() > 0 => "still connecting".into(),
        None => {
            report_busy(engine, &expired);
            "all connections are busy".into()
        }
    };
    engine.answer(expired.into_iter().map(|mut job| {
        let error = match job.last_error.take() {
            Some(error) => and_no_new_connection(error, failure.as_deref()),
            None => Error::NoConnection {
                server: Arc::clone(&engine.server),
                timeout: job.timeouts.connect,
                reason: Arc::clone(&why),
            },
        };
        (job, Err(error))
    }));
}

fn report_busy(engine: &Engine, expired: &[BoxedJob]) {
    let without = expired.iter().filter(|job| job.last_error.is_none());
    let operations = without.count();
    if operations > 0 {
        let (server, most) = (&engine.server, engine.most_threads);
        engine.reports.busy.log(Level::Warn, || {
            format!(
                "all connections to {server} (of {most} at most) are busy: {operations} \
                 operations got none in their time"
            )
        });
    }
}

/// Adds to a lost connection why no new one could be opened since.
fn and_no_new_connection(last_error: Error, failure: Option<&str>) -> Error {
    match (last_error, failure) {
        (Error::Lost { server, reason }, Some(failure)) => {
            Error::Lost { server, reason: format!("{reason}; no new one: {failure}").into() }
        }
        (last_error, _) => last_error,
    }
}
