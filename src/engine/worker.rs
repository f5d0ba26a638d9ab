//! A worker thread: takes what waits, runs it as one statement, and answers each operation or keeps it
//! for another try. A batch that was rejected is split, so that only the operation at fault fails.

use super::queue::{Batch, Lane, Queue};
use super::{Engine, Job};
use crate::Error;
use crate::db::Db;
use crate::host::log::Level;
use crate::op::{Answer, Answers, AnyOperation};
use crate::ops::EndGivenUp;
use crate::pool::{Fault, LOCK_TIMEOUT, Pooled, Retry, Verdict};
use std::any::TypeId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often an operation is tried again after a lost connection. A restart of the server can meet
/// it on several old connections, one after the other; more often than that, and the
/// operation itself may be what breaks them.
const MOST_LOSSES: u32 = 4;

/// The pauses before a locked row is tried again: the first, and the longest.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

pub(super) fn run(engine: &Arc<Engine>) {
    let mut queue = engine.lock();
    while !queue.stopping {
        if !queue.has_work(Instant::now(), engine.most_threads) {
            // What waits may be for sessions in use: the thread that uses them looks again.
            queue = sleep(engine, queue);
            continue;
        }
        drop(queue);
        let Some(mut connection) = check_out(engine) else {
            queue = engine.lock();
            // What gives it room wakes it: a connection that is returned, or the clock.
            if !queue.stopping && !engine.has_room(&queue, Instant::now()) {
                queue = sleep(engine, queue);
            }
            continue;
        };
        let now = Instant::now();
        queue = engine.lock();
        let batch = queue.take(now, engine.most_threads);
        if batch.as_ref().is_some_and(|batch| batch.separate.is_some()) {
            // Another thread may have to serve the others.
            engine.dispatch(queue, now);
        } else {
            drop(queue);
        }
        if let Some(batch) = batch {
            run_batch(engine, &mut connection, batch);
        }
        drop(connection);
        queue = engine.lock();
    }
    queue.threads -= 1;
    engine.ended.notify_all();
}

fn sleep<'a>(engine: &'a Engine, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    queue.sleeping += 1;
    queue = engine
        .work
        .wait_while(queue, |queue| queue.woken == 0 && !queue.stopping)
        .unwrap_or_else(PoisonError::into_inner);
    if queue.woken > 0 {
        queue.woken -= 1;
    } else {
        queue.sleeping -= 1;
    }
    queue
}

/// Gets an idle connection, or opens one if no other thread is opening one.
fn check_out(engine: &Arc<Engine>) -> Option<Pooled> {
    if let Some(connection) = engine.pool.idle() {
        engine.stats.checkout.note_time(Duration::ZERO);
        return Some(connection);
    }
    let start = Instant::now();
    let mut queue = engine.lock();
    if queue.connecting > 0 || !engine.pool.may_open(start) {
        return None;
    }
    queue.connecting += 1;
    drop(queue);
    let _connecting = Connecting(engine);
    match engine.pool.open_one() {
        Ok(connection) => {
            engine.stats.checkout.note_time(start.elapsed());
            if connection.is_some() && !engine.connected.swap(true, Ordering::Relaxed) {
                engine.hand_over_password();
            }
            connection
        }
        Err(failure) => {
            // No operation has anything to wait for, unless there are other connections.
            if failure.refused && engine.pool.open() == 0 {
                let server = Arc::clone(&engine.server);
                engine.fail_waiting(&Error::Refused { server, reason: failure.reason });
            }
            None
        }
    }
}

/// Counts as a thread that opens a connection until it is dropped, also by a panic.
struct Connecting<'a>(&'a Engine);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.lock().connecting -= 1;
    }
}

/// Runs a batch on the given connection, and answers it or keeps it for another try.
pub(super) fn run_batch(engine: &Arc<Engine>, connection: &mut Pooled, mut batch: Batch) {
    let now = Instant::now();
    for job in &mut batch.jobs {
        let end = now + job.timeouts.statement;
        job.deadline.get_or_insert(end);
    }
    let waited = batch.jobs.iter();
    let waited = waited.map(|job| now.saturating_duration_since(job.submitted));
    engine.stats.begin(waited);
    let run = || run_statement(engine, connection, &batch);
    let result = catch_unwind(AssertUnwindSafe(run));
    engine.stats.statement.note_time(now.elapsed());
    match result.unwrap_or_else(|_| Err(Fault::defect("a statement panicked"))) {
        Ok(answers) => drop(finish(engine, batch, answers)),
        Err(fault) => {
            if fault.connection != Verdict::Usable {
                connection.get().mark_broken();
            }
            // What is tried again should meet a fresh connection. The idle ones are closed when the
            // operations have been put back or answered.
            let all_broken = fault.connection == Verdict::AllBroken;
            let idle = all_broken.then(|| engine.pool.take_idle());
            let operations = batch.jobs.len();
            if operations > 1 {
                engine.stats.split(fault.retry);
            }
            let first = batch
                .jobs
                .first()
                .filter(|job| job.operation.kind().id != TypeId::of::<EndGivenUp>());
            let first = first.map(|job| (Arc::clone(&job.tables), job.timeouts));
            let again = finish(engine, batch, vec![Err(fault.clone()); operations]);
            report(engine, &fault, operations, again);
            drop(idle);
            if engine.pool.has_just_given_up()
                && let Some((tables, timeouts)) = first
            {
                engine.end_given_up(&tables, timeouts);
            }
        }
    }
}

fn run_statement(
    engine: &Engine,
    connection: &mut Pooled,
    batch: &Batch,
) -> Result<Answers<Answer>, Fault> {
    let Some(first) = batch.jobs.first() else {
        return Ok(Vec::new());
    };
    // Operations that were tried before share a statement with those of the same deadline only.
    let (until, timeout) = (first.expires(), first.timeouts.statement);
    let operations: Vec<&dyn AnyOperation> = batch.jobs.iter().map(|job| &*job.operation).collect();
    let mut db = Db::new(connection.get(), &first.tables, until, timeout, batch.separate.is_some());
    let run = first.operation.kind().run;
    let answers = db.end_given_up().and_then(|()| run(&operations, &mut db));
    if let Some(cleaned) = db.cleaned() {
        engine.stats.cleaned(cleaned);
    }
    engine.stats.passed_over(db.passed_over());
    answers
}

/// What follows for an operation after its fault.
enum Next {
    Answer(Error),
    /// At once, with those that have failed with it.
    RetryTogether,
    /// At once, with a half of them: the one that is at fault costs the others few statements.
    RetryHalf,
    /// In a statement of its own, at once.
    Retry,
    /// The same after a pause.
    RetryAfter(Duration),
    /// The same beside the others.
    RetrySeparate,
}

/// Answers each operation of a batch, or has it tried again. Returns how many are tried at once.
fn finish(engine: &Arc<Engine>, batch: Batch, answers: Answers<Answer>) -> usize {
    let now = Instant::now();
    let size = batch.jobs.len();
    let mut outcomes = Vec::with_capacity(size);
    let mut again = Vec::new();
    let mut failed = false;
    let mut queue = engine.lock();
    for (place, (mut job, answer)) in batch.jobs.into_iter().zip(answers).enumerate() {
        let fault = match answer {
            Ok(answer) => {
                queue.jobs.release(&job.footprint);
                outcomes.push((job, Ok(answer)));
                continue;
            }
            Err(fault) => fault,
        };
        failed = true;
        let part = job.footprint.group.take().map_or(0, |(.., round)| round.part);
        match next(&mut job, &fault, size > 1, batch.separate.is_some()) {
            Next::Answer(error) => {
                queue.jobs.release(&job.footprint);
                outcomes.push((job, Err(error)));
            }
            Next::RetryTogether => {
                job.footprint.group = job.group_again(part);
                again.push(job);
            }
            Next::RetryHalf => {
                let half = if place * 2 < size { 1 } else { 2 };
                job.footprint.group = job.group_again(part * 2 + half);
                again.push(job);
            }
            Next::Retry => again.push(job),
            Next::RetryAfter(pause) => {
                // A try that its own deadline would interrupt costs a connection: rather none.
                let end = job.expires();
                let at = Some(now + pause).filter(|at| *at + 2 * LOCK_TIMEOUT < end);
                queue.locked.push((at.unwrap_or(end), job));
            }
            Next::RetrySeparate => {
                let (server, timeout) = (Arc::clone(&engine.server), job.timeouts.statement);
                job.last_error = Some(Error::Timeout { server, timeout });
                queue.lane(Lane::Large).waiting.push_back(job);
            }
        }
    }
    let tried_again = again.len();
    if tried_again > 0 {
        queue.put_back(again);
    }
    if let Some(lane) = batch.separate {
        queue.lane(lane).running -= 1;
    }
    if batch.retry {
        queue.trying = false;
        if !failed {
            queue.try_locked_now(now);
        }
    }
    if failed {
        engine.dispatch(queue, now);
    } else {
        drop(queue);
    }
    engine.answer(outcomes);
    tried_again
}

fn next(job: &mut Job, fault: &Fault, batched: bool, separate: bool) -> Next {
    match fault.retry {
        Retry::Split if batched => Next::RetryHalf,
        Retry::Separate if !separate => Next::RetrySeparate,
        // Not at once: until it is known which of them the lock is for, each may have to wait.
        Retry::WhenUnlocked if batched => Next::RetryAfter(Duration::ZERO),
        Retry::WhenUnlocked | Retry::Later => {
            job.last_error = Some(fault.error.clone());
            job.pause = (job.pause * 2).clamp(LOCK_PAUSE.0, LOCK_PAUSE.1);
            Next::RetryAfter(job.pause)
        }
        Retry::AtOnce if job.losses < MOST_LOSSES => {
            job.losses += 1;
            job.last_error = Some(fault.error.clone());
            // One of them may be what breaks connections.
            if job.losses == 1 { Next::RetryTogether } else { Next::Retry }
        }
        Retry::Never | Retry::Split | Retry::Separate | Retry::AtOnce => {
            Next::Answer(fault.error.clone())
        }
    }
}

/// A statement of so many operations has failed; `again` of them are tried again.
fn report(engine: &Engine, fault: &Fault, operations: usize, again: usize) {
    let (server, error, reports) = (&engine.server, &fault.error, &engine.reports);
    match (fault.retry, error) {
        (_, Error::Timeout { .. }) => reports.silent.log(Level::Warn, || {
            format!(
                "no answer from {server} to {operations} operations; their connection is closed"
            )
        }),
        (_, Error::Lost { .. }) => reports.lost.log(Level::Warn, || {
            format!("{error}; {again} of {operations} operations are repeated")
        }),
        (Retry::Later, _) => reports.lost.log(Level::Warn, || {
            format!(
                "{server} takes no writes: {error}; {operations} operations are repeated on another \
                 connection"
            )
        }),
        (Retry::Never, _) => {}
        _ if operations > 1 => reports.split.log(Level::Info, || {
            format!("a batch of {operations} operations is split and retried: {error}")
        }),
        _ => {
            if let Some(remedy) = error.remedy() {
                reports.tables.log(Level::Error, || format!("{error}: {remedy}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
