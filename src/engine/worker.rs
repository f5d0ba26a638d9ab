//! A worker thread: takes what waits, runs it as one statement, and answers each operation or keeps it
//! for another try. A batch that was rejected is split, so that only the operation at fault fails.

use super::queue::{Batch, Queue};
use super::{Job, Shared};
use crate::Error;
use crate::completion::deliver;
use crate::db::Db;
use crate::op::{Answer, Answers, AnyOperation};
use crate::pool::{Fault, LOCK_TIMEOUT, OpenError, Pooled, Retry, Verdict};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// How long a thread pauses between attempts to connect before it looks whether a connection is still
/// needed.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How often an operation is tried again after a lost connection. A restart of the server can meet
/// it on several old connections, one after the other; more often than that, and the
/// operation itself may be what breaks them.
const MOST_LOSSES: u32 = 4;

/// The pauses before a locked row is tried again: the first, and the longest.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Runs until the engine stops.
pub(super) fn run(shared: &Arc<Shared>) {
    // Whatever panics, the thread goes on: the operations it held have been answered by then.
    while catch_unwind(AssertUnwindSafe(|| work_until_stopped(shared))).is_err() {}
    shared.lock().threads -= 1;
    shared.ended.notify_all();
}

fn work_until_stopped(shared: &Arc<Shared>) {
    let mut queue = shared.lock();
    while !queue.stopping {
        if !queue.has_work(Instant::now()) {
            // What waits may be for sessions in use: the thread that uses them looks again.
            queue = sleep(shared, queue);
            continue;
        }
        drop(queue);
        if let Some(mut connection) = check_out(shared) {
            let batch = shared.lock().take(Instant::now());
            if let Some(batch) = batch {
                run_batch(shared, &mut connection, batch);
            }
        }
        queue = shared.lock();
    }
}

/// Sleeps until woken.
fn sleep<'a>(shared: &'a Shared, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    queue.sleeping += 1;
    queue = shared
        .work
        .wait_while(queue, |queue| queue.woken == 0 && !queue.stopping)
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    if queue.woken > 0 {
        queue.woken -= 1;
    } else {
        queue.sleeping -= 1;
    }
    queue
}

/// Gets a connection while there is something to do with it.
fn check_out(shared: &Shared) -> Option<Pooled> {
    if let Some(connection) = shared.pool.idle() {
        shared.stats.checked_out(Duration::ZERO);
        return Some(connection);
    }
    let _connecting = Connecting::begin(shared);
    let start = Instant::now();
    let connection = wait_for_connection(shared);
    if connection.is_some() {
        shared.stats.checked_out(start.elapsed());
    }
    connection
}

/// Counts as a thread that waits for a connection until it is dropped, also by a panic.
struct Connecting<'a>(&'a Shared);

impl<'a> Connecting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.lock().connecting += 1;
        Connecting(shared)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.lock().connecting -= 1;
    }
}

fn wait_for_connection(shared: &Shared) -> Option<Pooled> {
    loop {
        let pause = shared.pool.status().next_attempt();
        let pause = pause.map(|at| at.saturating_duration_since(Instant::now()));
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            std::thread::sleep(pause.min(LOOK_AROUND));
        } else {
            // An attempt ends by then, one way or the other. To come back earlier would have r2d2
            // make a second one beside it.
            match shared.pool.wait(shared.attempt_time) {
                Ok(Some(connection)) => return Some(connection),
                // Others may still be served by the connections that there are.
                Err(failure) if failure.refused && shared.pool.open() == 0 => {
                    refuse_all(shared, failure);
                    return None;
                }
                Ok(None) | Err(_) => {}
            }
        }
        let mut queue = shared.lock();
        if queue.stopping || !queue.has_work(Instant::now()) {
            return None;
        }
    }
}

/// The server refused the connection, and there is no other one: no operation has anything to wait for.
fn refuse_all(shared: &Shared, failure: OpenError) {
    let error = Error::Refused {
        server: Arc::clone(&shared.server),
        reason: failure.reason,
    };
    let cleared = shared.lock().clear(&error);
    shared.answer(cleared);
}

/// Runs a batch on the given connection, and answers it or keeps it for another try.
pub(super) fn run_batch(shared: &Arc<Shared>, connection: &mut Pooled, mut batch: Batch) {
    let now = Instant::now();
    for job in &mut batch.jobs {
        let timeout = job.timeouts.statement;
        job.deadline.get_or_insert(now + timeout);
    }
    let waited = batch.jobs.iter();
    shared
        .stats
        .begin(waited.map(|job| now.saturating_duration_since(job.submitted)));
    let run = || run_statement(shared, connection, &batch);
    let result = catch_unwind(AssertUnwindSafe(run));
    shared.stats.ended(now.elapsed());
    let result = result.unwrap_or_else(|_| Err(Fault::defect("a statement panicked")));
    match result {
        Ok(answers) => succeed(shared, batch, answers),
        Err(fault) => {
            if fault.connection != Verdict::Usable {
                connection.get().mark_broken();
            }
            // What is tried again should meet a fresh connection. The idle ones are closed when the
            // operations have been put back or answered.
            let idle = match fault.connection {
                Verdict::AllBroken => shared.pool.take_idle(),
                Verdict::Usable | Verdict::Broken => Vec::new(),
            };
            fail(shared, batch, &fault);
            drop(idle);
        }
    }
}

fn run_statement(
    shared: &Shared,
    connection: &mut Pooled,
    batch: &Batch,
) -> Result<Answers<Answer>, Fault> {
    let Some(first) = batch.jobs.first() else {
        return Ok(Vec::new());
    };
    // Operations that were tried before have statements of their own, so all of a batch have the same
    // deadline.
    let (until, timeout) = (first.expires(), first.timeouts.statement);
    let operations: Vec<&dyn AnyOperation> = batch.jobs.iter().map(|job| &*job.operation).collect();
    let mut db = Db::new(connection.get(), &first.tables, until, timeout);
    let answers = (first.operation.kind().run)(&operations, &mut db)?;
    if let Some(cleaned) = db.cleaned() {
        shared.stats.cleaned(cleaned);
    }
    Ok(answers)
}

fn succeed(shared: &Shared, batch: Batch, answers: Answers<Answer>) {
    let mut queue = shared.lock();
    for job in &batch.jobs {
        queue.release(job);
    }
    if batch.retry {
        queue.end_retry();
        queue.try_locked_now(Instant::now());
    }
    drop(queue);
    let count = |(job, answer): (Job, Result<Answer, Error>)| {
        shared
            .stats
            .answered(&*job.operation, answer.as_ref().err());
        (job.into_reply(), answer)
    };
    deliver(batch.jobs.into_iter().zip(answers).map(count));
}

/// What becomes of an operation after its statement failed.
enum Next {
    Answer(Error),
    /// In a statement of its own, at once.
    Retry,
    /// The same after a pause.
    RetryAfter(Duration),
}

fn fail(shared: &Arc<Shared>, batch: Batch, fault: &Fault) {
    let operations = batch.jobs.len();
    let batched = operations > 1;
    if batched {
        shared.stats.split(fault.retry);
    }
    let now = Instant::now();
    let mut answers = Vec::new();
    let mut again = Vec::new();
    let mut queue = shared.lock();
    for mut job in batch.jobs {
        match next(&mut job, fault, batched) {
            Next::Answer(error) => {
                queue.release(&job);
                answers.push((job, error));
            }
            Next::Retry => {
                job.single = true;
                again.push(job);
            }
            Next::RetryAfter(pause) => {
                job.single = true;
                // A try that its own deadline would interrupt costs a connection: rather none.
                let end = job.expires();
                let at = Some(now + pause).filter(|at| *at + 2 * LOCK_TIMEOUT < end);
                queue.keep_locked(job, at.unwrap_or(end));
            }
        }
    }
    let tried_again = again.len();
    queue.put_back(again);
    if batch.retry {
        queue.end_retry();
    }
    shared.dispatch(queue, now);
    shared.answer(answers);
    shared.report_fault(fault, operations, tried_again);
}

fn next(job: &mut Job, fault: &Fault, batched: bool) -> Next {
    let error = || fault.error.clone();
    match fault.retry {
        Retry::Never => Next::Answer(error()),
        Retry::Split if batched => Next::Retry,
        Retry::Split => Next::Answer(error()),
        // Not at once: until it is known which of them the lock is for, each may have to wait.
        Retry::WhenUnlocked if batched => Next::RetryAfter(Duration::ZERO),
        Retry::WhenUnlocked | Retry::Later => {
            job.last_error = Some(error());
            job.pause = (job.pause * 2).clamp(LOCK_PAUSE.0, LOCK_PAUSE.1);
            Next::RetryAfter(job.pause)
        }
        Retry::AtOnce if job.losses >= MOST_LOSSES => Next::Answer(error()),
        Retry::AtOnce => {
            job.losses += 1;
            job.last_error = Some(error());
            Next::Retry
        }
    }
}
