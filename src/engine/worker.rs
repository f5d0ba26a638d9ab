//! A worker thread: takes what waits, runs it as one statement, and sees to what becomes of each
//! operation. A batch's failure is nobody else's failure: it is taken apart.

use super::queue::{Batch, Queue};
use super::{Job, Shared};
use crate::Error;
use crate::completion::deliver;
use crate::op::{Operation, Output};
use crate::pool::{Fault, LOCK_TIMEOUT, OpenError, Pooled};
use crate::statements;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// How long a thread pauses between attempts to connect before it looks whether anybody still needs
/// a connection.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How often an operation is tried again after a lost connection. A restart of the server can meet
/// it on several old connections, one after the other; more often than that, and it may be itself
/// what breaks them.
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
            // What waits may be for sessions in use: whoever uses them looks again.
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

/// The server said no, and there is no connection: nobody has anything to wait for.
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
        let timeout = job.target.timeouts.statement;
        job.deadline.get_or_insert(now + timeout);
    }
    let Some(first) = batch.jobs.first() else {
        return;
    };
    // Operations that were tried before run alone, so all of a batch have the same deadline.
    let until = first.deadline.unwrap_or(now);
    let operations: Vec<&Operation> = batch.jobs.iter().map(|job| &job.operation).collect();
    let tables = &first.target.tables;
    let run = || {
        connection.get().run(until, |connection| {
            statements::run(connection, tables, &operations)
        })
    };
    let waited = batch.jobs.iter();
    shared
        .stats
        .begin(waited.map(|job| now.saturating_duration_since(job.submitted)));
    let result = catch_unwind(AssertUnwindSafe(run));
    shared.stats.ended(now.elapsed());
    match result {
        Ok(Ok(outputs)) => {
            if is_at_rest(shared, &batch) {
                connection.get().mark_broken();
            }
            succeed(shared, batch, outputs);
        }
        Ok(Err(fault)) => {
            // The others of the same time are suspects: what is tried again should meet a fresh
            // one. They take their leave when nobody waits for that any more.
            let suspects = if fault.concerns_the_others() {
                shared.pool.take_idle()
            } else {
                Vec::new()
            };
            fail(shared, batch, &fault);
            drop(suspects);
        }
        Err(_) => {
            connection.get().mark_broken();
            end(shared, batch, &Error::internal("a statement panicked"));
        }
    }
}

/// For how long nobody has asked for anything where the site is at rest.
const REST: Duration = Duration::from_secs(10);

/// Whether the connection was only needed for the library's own sake.
fn is_at_rest(shared: &Shared, batch: &Batch) -> bool {
    batch.jobs.iter().all(|job| job.background) && {
        let last = shared.lock().last_submit;
        last.is_none_or(|last| last.elapsed() > REST)
    }
}

fn succeed(shared: &Shared, batch: Batch, outputs: Vec<Output>) {
    let mut queue = shared.lock();
    for job in &batch.jobs {
        queue.release(job);
    }
    if batch.retry {
        queue.end_retry();
        queue.hurry(Instant::now());
    }
    drop(queue);
    let count = |(job, output): (Job, Output)| {
        shared.stats.answered(&job.operation, Ok(&output));
        (job.reply, Ok(output))
    };
    deliver(batch.jobs.into_iter().zip(outputs).map(count));
}

/// Answers all of a batch with one error.
fn end(shared: &Shared, batch: Batch, error: &Error) {
    let mut queue = shared.lock();
    for job in &batch.jobs {
        queue.release(job);
    }
    if batch.retry {
        queue.end_retry();
    }
    drop(queue);
    shared.answer(batch.jobs.into_iter().map(|job| (job, error.clone())));
}

/// What becomes of an operation after its statement failed.
enum Next {
    Answer(Error),
    /// At once, by itself.
    TryAlone,
    /// By itself, when what stands in its way may be gone.
    TryLater(Duration),
}

fn fail(shared: &Arc<Shared>, batch: Batch, fault: &Fault) {
    let operations = batch.jobs.len();
    let company = operations > 1;
    if company {
        shared.stats.split(match fault {
            Fault::Locked(_) => "locked",
            Fault::Rejected { .. } => "rejected",
            _ => "lost",
        });
    }
    let now = Instant::now();
    let mut answers = Vec::new();
    let mut again = Vec::new();
    let mut queue = shared.lock();
    for mut job in batch.jobs {
        match next(shared, &mut job, fault, company) {
            Next::Answer(error) => {
                queue.release(&job);
                answers.push((job, error));
            }
            Next::TryAlone => {
                job.alone = true;
                again.push(job);
            }
            Next::TryLater(pause) => {
                job.alone = true;
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

fn next(shared: &Shared, job: &mut Job, fault: &Fault, company: bool) -> Next {
    let server = Arc::clone(&shared.server);
    match fault {
        Fault::Rejected { .. } if company => Next::TryAlone,
        // Not at once: as long as nobody knows which of them the lock is for, each may have to wait.
        Fault::Locked(_) if company => Next::TryLater(Duration::ZERO),
        Fault::Rejected { code, message } => Next::Answer(Error::Database {
            code: Arc::clone(code),
            message: Arc::clone(message),
        }),
        Fault::Locked(reason) => {
            job.obstacle = Some(Error::Locked {
                timeout: job.target.timeouts.statement,
                reason: Arc::clone(reason),
            });
            try_later(job)
        }
        // Until the connections lead to a server that takes writes: after a failover that is a
        // matter of moments.
        Fault::ReadOnly { code, message } => {
            let (code, message) = (Arc::clone(code), Arc::clone(message));
            job.obstacle = Some(Error::Database { code, message });
            try_later(job)
        }
        Fault::Lost(reason) => {
            let reason = Arc::clone(reason);
            try_again(job, Error::Lost { server, reason })
        }
        Fault::Stale { code, message } => {
            let (code, message) = (Arc::clone(code), Arc::clone(message));
            try_again(job, Error::Database { code, message })
        }
        Fault::TooMany(limit) => Next::Answer(Error::TooManySessions { limit: *limit }),
        Fault::Expired => Next::Answer(Error::Timeout {
            server,
            timeout: job.target.timeouts.statement,
        }),
    }
}

fn try_later(job: &mut Job) -> Next {
    job.lock_pause = (job.lock_pause * 2).clamp(LOCK_PAUSE.0, LOCK_PAUSE.1);
    Next::TryLater(job.lock_pause)
}

/// An interrupted operation is tried again: each may be carried out twice and is the same as once.
fn try_again(job: &mut Job, error: Error) -> Next {
    if job.losses >= MOST_LOSSES {
        return Next::Answer(error);
    }
    job.losses += 1;
    job.obstacle = Some(error);
    Next::TryAlone
}
