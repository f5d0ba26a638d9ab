//! The engine: takes operations from any number of callers and runs them, in batches, on a few
//! threads and connections of its own. No caller waits beyond its deadline, whatever the database
//! does.

mod cleaner;
mod clock;
mod job;
mod queue;
mod reports;
mod stats;
mod worker;

pub(crate) use job::{Job, Target};

use crate::Error;
use crate::completion::{Reply, deliver};
use crate::config::{Config, Secret};
use crate::host::thread;
use crate::pool::Pool;
use crate::tls::Tls;
use cleaner::Cleaner;
use queue::{Call, Queue};
use reports::Reports;
use stats::{Gauges, Stats};
pub(crate) use stats::{Sample, render};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How often an engine that is being stopped looks what is left of it.
const STOP_STEP: Duration = Duration::from_millis(5);

/// One pool of connections and the threads that use it.
pub(crate) struct Engine(Arc<Shared>);

/// What the threads share.
struct Shared {
    pool: Pool,
    queue: Mutex<Queue>,
    cleaner: Cleaner,
    stats: Stats,
    /// Sleeping threads wait here to be called.
    work: Condvar,
    /// The clock waits here, between its ticks or for the first operation.
    tick: Condvar,
    /// Whoever stops the engine waits here for its threads to end.
    ended: Condvar,
    /// The servers, for messages.
    server: Arc<str>,
    /// How long an attempt to connect takes at most.
    attempt_time: Duration,
    most_threads: usize,
    /// As configured; what would hold a connection each in a pool without batching does not count
    /// as waiting.
    backlog: usize,
    reports: Reports,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The code under this lock does not panic; if it did, going on beats never answering.
        self.queue
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Puts a job into the queue, if that takes one more, and hands the queue over locked.
    fn accept(&self, job: Job) -> Result<MutexGuard<'_, Queue>, Error> {
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
            self.report_backlog();
        }
        job.reply.forget();
        Err(refusal)
    }

    /// Lets the queue go, having seen to it that somebody looks after what is in it.
    fn dispatch(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        let call = queue.call(now, self.most_threads);
        let wake_clock = !queue.is_quiet() && std::mem::take(&mut queue.clock_sleeps);
        drop(queue);
        self.call(call);
        if wake_clock {
            self.tick.notify_one();
        }
    }

    /// Puts what is due of the clean-up into the queue.
    fn clean_up(self: &Arc<Self>, now: Instant) {
        let told = |target: &Arc<Target>| {
            let (shared, target) = (Arc::downgrade(self), Arc::clone(target));
            Reply::told(move |outcome| {
                if let Some(shared) = shared.upgrade() {
                    shared.cleaner.done(&target, &outcome);
                    // The clock sleeps as long as it knew of nothing to come.
                    shared.lock().clock_sleeps = false;
                    shared.tick.notify_one();
                }
            })
        };
        for job in self.cleaner.due(now, told) {
            let mut queue = self.lock();
            if queue.stopping {
                job.reply.forget();
                return;
            }
            queue.push(job);
            self.dispatch(queue, now);
        }
    }

    /// Carries out what [`Queue::call`] decided.
    fn call(self: &Arc<Self>, call: Call) {
        match call {
            Call::Nobody => {}
            Call::Sleeper => self.work.notify_one(),
            Call::NewThread => {
                let shared = Arc::clone(self);
                if let Err(error) = thread::spawn("rsp-worker", move || worker::run(&shared)) {
                    self.thread_did_not_start(&error);
                }
            }
        }
    }

    /// Answers jobs that were taken out of the queue.
    fn answer(&self, jobs: impl IntoIterator<Item = (Job, Error)>) {
        let count = |(job, error): (Job, Error)| {
            self.stats.answered(&job.operation, Err(&error));
            (job.reply, Err(error))
        };
        deliver(jobs.into_iter().map(count));
    }

    /// Without a single thread, nobody would answer what waits.
    fn thread_did_not_start(&self, error: &std::io::Error) {
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
}

impl Engine {
    /// An engine without worker threads and connections: they come with the first operations.
    pub(crate) fn new(config: &Config, tls: Tls) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            pool: Pool::new(config, tls)?,
            queue: Mutex::default(),
            cleaner: Cleaner::default(),
            stats: Stats::default(),
            work: Condvar::new(),
            tick: Condvar::new(),
            ended: Condvar::new(),
            server: config.connection.describe(),
            attempt_time: config.timeouts.connect + Duration::from_millis(100),
            most_threads: config.pool.size,
            backlog: config.pool.backlog,
            reports: Reports::default(),
        });
        let clock = Arc::clone(&shared);
        thread::spawn("rsp-clock", move || clock::run(&clock))
            .map_err(|error| Error::internal(format!("no thread could be started: {error}")))?;
        Ok(Engine(shared))
    }

    /// Has a target's tables cleaned up in the background, about once an interval, by one process of
    /// those that name them so.
    pub(crate) fn clean_up(&self, target: &Arc<Target>, interval: Duration, name: String) {
        self.0.cleaner.add(target, interval, name);
    }

    /// Tells the log that there is a new engine; not under a lock that others wait for.
    pub(crate) fn announce(&self) {
        self.0.report_start();
    }

    /// What was counted, and what is now, in the order in which it is printed.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let shared = &self.0;
        let (open, idle) = (shared.pool.open(), shared.pool.idle_count());
        let (opened, failed, opening) = shared.pool.status().attempts();
        let waiting = shared.lock().len() as u64;
        shared.stats.samples(&Gauges {
            connections: [
                ("busy", open.saturating_sub(idle).into()),
                ("idle", idle.into()),
                ("opening", opening),
            ],
            opened,
            failed,
            waiting,
        })
    }

    /// Takes an operation; its reply gets the outcome. Returns at once.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Error> {
        let now = job.submitted;
        self.0.dispatch(self.0.accept(job)?, now);
        Ok(())
    }

    /// Takes an operation of a caller that will wait for its reply anyway. Where nobody else is
    /// served at the moment and a connection is there, the caller's own thread runs the statement:
    /// the way to another thread and back costs a lone caller as much as the statement. The
    /// connection's socket keeps the deadline, on whichever thread.
    pub(crate) fn submit_and_help(&self, job: Job) -> Result<(), Error> {
        let now = job.submitted;
        let shared = &self.0;
        let mut queue = shared.accept(job)?;
        if queue.is_first()
            // The blocking client cannot run inside another runtime.
            && tokio::runtime::Handle::try_current().is_err()
            && let Some(mut connection) = shared.pool.idle()
            && connection.get().is_bounded()
            && let Some(batch) = queue.take(now)
        {
            // For as long as it helps, it is one of the engine's threads.
            queue.threads += 1;
            drop(queue);
            worker::run_batch(shared, &mut connection, batch);
            drop(connection);
            queue = shared.lock();
            queue.threads -= 1;
            shared.ended.notify_all();
        }
        shared.dispatch(queue, now);
        Ok(())
    }

    /// Replaces the password of the connections to come.
    pub(crate) fn set_password(&self, password: Secret) {
        self.0.pool.set_password(password);
    }

    /// Ends the engine: what waits is answered, what runs gets half of the time to finish, then is
    /// cut off. Connections are closed properly. Never takes longer than `time`.
    pub(crate) fn stop(&self, time: Duration) {
        let start = Instant::now();
        let shared = &self.0;
        shared.pool.status().close();
        shared.cleaner.stop();
        let mut queue = shared.lock();
        queue.stopping = true;
        let cleared = queue.clear(&Error::Stopped);
        drop(queue);
        let unanswered = cleared.len();
        shared.answer(cleared);
        shared.work.notify_all();
        shared.tick.notify_all();
        // A connection that is being opened, or used, comes to the pool after its goodbye was due.
        while start.elapsed() < time {
            let ended = shared.all_ended_by(Instant::now() + STOP_STEP);
            drop(shared.pool.take_idle());
            if ended && !shared.pool.status().is_opening() && shared.pool.open() == 0 {
                break;
            }
            if start.elapsed() > time / 2 {
                shared.pool.status().cancel_all();
            }
            if ended {
                std::thread::sleep(STOP_STEP);
            }
        }
        shared.report_stop(unanswered);
    }
}

impl Shared {
    fn all_ended_by(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        let (queue, _) = self
            .ended
            .wait_timeout_while(self.lock(), left, |queue| queue.threads > 0)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        queue.threads == 0
    }
}
