//! What the engine's threads and its callers share, and how an operation gets from the ones to the
//! others: accepted, a thread woken for it, answered.

use super::cleaner::Cleaner;
use super::job::Job;
use super::queue::{Queue, Wake};
use super::reports::Reports;
use super::stats::Stats;
use super::worker;
use crate::Error;
use crate::completion::{Reply, deliver};
use crate::config::Timeouts;
use crate::db::Tables;
use crate::host::thread;
use crate::op::AnyOperation;
use crate::ops::Sweep;
use crate::pool::Pool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What the threads share.
pub(super) struct Shared {
    pub(super) pool: Pool,
    pub(super) queue: Mutex<Queue>,
    pub(super) cleaner: Cleaner,
    pub(super) stats: Stats,
    /// Sleeping threads wait here to be woken.
    pub(super) work: Condvar,
    /// The clock waits here, between its ticks or for the first operation.
    pub(super) tick: Condvar,
    /// A thread that stops the engine waits here for the others to end.
    pub(super) ended: Condvar,
    /// The servers, for messages.
    pub(super) server: Arc<str>,
    /// How long an attempt to connect takes at most.
    pub(super) attempt_time: Duration,
    pub(super) most_threads: usize,
    /// As configured; what would hold a connection each in a pool without batching does not count
    /// as waiting.
    pub(super) backlog: usize,
    pub(super) reports: Reports,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        // The code under this lock does not panic; if it did, going on beats never answering.
        self.queue
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a job into the queue, if that takes one more, and hands the queue over locked.
    pub(super) fn accept(&self, job: Job) -> Result<MutexGuard<'_, Queue>, Error> {
        let mut queue = self.lock();
        let refusal = if queue.stopping {
            Error::Stopped
        } else if queue.len() >= self.backlog + self.most_threads {
            let limit = self.backlog;
            Error::Backlog { limit }
        } else {
            queue.last_submit = Some(job.submitted);
            queue.push(job);
            return Ok(queue);
        };
        drop(queue);
        if let Error::Backlog { .. } = refusal {
            self.stats.answered(&*job.operation, Some(&refusal));
            self.report_backlog();
        }
        job.into_reply().forget();
        Err(refusal)
    }

    /// Unlocks the queue and has a thread woken for what is in it, if one is needed.
    pub(super) fn dispatch(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        let wake = queue.wake(now, self.most_threads);
        let wake_clock = !queue.is_quiet() && std::mem::take(&mut queue.clock_sleeps);
        drop(queue);
        self.wake(wake);
        if wake_clock {
            self.tick.notify_one();
        }
    }

    /// Puts the clean-ups that are due into the queue.
    pub(super) fn clean_up(self: &Arc<Self>, now: Instant) {
        for (sweep, tables, timeouts) in self.cleaner.due(now) {
            let job = self.sweep_job(sweep, tables, timeouts);
            let mut queue = self.lock();
            if queue.stopping {
                job.into_reply().forget();
                return;
            }
            queue.push(job);
            self.dispatch(queue, now);
        }
    }

    fn sweep_job(self: &Arc<Self>, sweep: Sweep, tables: Arc<Tables>, timeouts: Timeouts) -> Job {
        let (shared, swept) = (Arc::downgrade(self), Arc::clone(&tables));
        let reply = Reply::callback(move |outcome| {
            if let Some(shared) = shared.upgrade() {
                shared.cleaner.done(&swept, outcome.err().as_ref());
                // The clock sleeps until the next event that it knew of.
                shared.lock().clock_sleeps = false;
                shared.tick.notify_one();
            }
        });
        let operation: Box<dyn AnyOperation> = Box::new(sweep);
        Job::new(operation, &tables, timeouts, reply)
    }

    /// Carries out what [`Queue::wake`] decided.
    pub(super) fn wake(self: &Arc<Self>, wake: Wake) {
        match wake {
            Wake::Nothing => {}
            Wake::Sleeper => self.work.notify_one(),
            Wake::NewThread => {
                let shared = Arc::clone(self);
                if let Err(error) = thread::spawn("rsp-worker", move || worker::run(&shared)) {
                    self.thread_did_not_start(&error);
                }
            }
        }
    }

    /// Answers jobs that were taken out of the queue.
    pub(super) fn answer(&self, jobs: impl IntoIterator<Item = (Job, Error)>) {
        let count = |(job, error): (Job, Error)| {
            self.stats.answered(&*job.operation, Some(&error));
            (job.into_reply(), Err(error))
        };
        deliver(jobs.into_iter().map(count));
    }

    /// Without a single thread, what waits would get no answer.
    pub(super) fn thread_did_not_start(&self, error: &std::io::Error) {
        let mut queue = self.lock();
        queue.threads -= 1;
        let cleared = if queue.threads == 0 {
            queue.clear(&Error::internal(format!(
                "no thread could be started: {error}"
            )))
        } else {
            Vec::new()
        };
        drop(queue);
        self.answer(cleared);
    }

    /// Waits until no thread is left, at most until `end`. Whether that is so.
    pub(super) fn all_ended_by(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let (queue, _) = self
            .ended
            .wait_timeout_while(self.lock(), left, |queue| queue.threads > 0)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.threads == 0
    }
}
