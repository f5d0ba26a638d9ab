//! The engine: takes operations from any number of callers and runs them, in batches, on a few
//! threads and connections of its own. No caller waits beyond its deadline, whatever the database does.
//!
//! This file has what the threads and the callers share, and how an operation gets from the ones to the
//! others: accepted, a thread woken for it, answered.

mod batch;
mod cleaner;
mod clock;
mod job;
mod queue;
mod registry;
mod stats;
mod worker;

pub(crate) use job::{BoxedJob, Job};
pub(crate) use registry::EngineRef;
pub(crate) use stats::render;

use crate::Error;
use crate::completion::{Reply, deliver};
use crate::config::{Config, Secret, Timeouts};
use crate::db::Tables;
use crate::host::log::{Level, Limited};
use crate::host::{lock, thread};
use crate::op::Outcome;
use crate::ops::EndGivenUp;
use crate::pool::Pool;
use crate::tls::{Files, Tls};
use cleaner::Cleaner;
use queue::{Queue, Wake};
use stats::{Family, Stats};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One pool of connections and the threads that use it.
pub(crate) struct Engine {
    pool: Pool,
    queue: Mutex<Queue>,
    cleaner: Cleaner,
    stats: Stats,
    reports: Reports,
    /// Sleeping threads wait here to be woken.
    work: Condvar,
    /// The clock waits here, between its ticks or for the first operation.
    tick: Condvar,
    /// A thread that stops the engine waits here for the others to end.
    ended: Condvar,
    /// The servers, for messages.
    server: Arc<str>,
    most_threads: usize,
    /// How long a connection may idle, if that is limited.
    keepalive: Option<Duration>,
    started: Instant,
    /// How many storages have it.
    users: AtomicUsize,
    /// Called now and then while it is at rest.
    on_idle: fn(),
    /// Its password was replaced.
    has_own_password: AtomicBool,
    /// A connection was opened.
    connected: AtomicBool,
    /// As configured; what would hold a connection each in a pool without batching does not count
    /// as waiting.
    backlog: usize,
}

/// Kinds of lines for the host's log.
#[derive(Default)]
struct Reports {
    lost: Limited,
    silent: Limited,
    split: Limited,
    tables: Limited,
    busy: Limited,
    backlog: Limited,
}

impl Engine {
    /// An engine without worker threads and connections: they come with the first operations.
    fn new(
        config: &Config,
        files: &Result<Files, Error>,
        passwords: &Option<Secret>,
        on_idle: fn(),
    ) -> Result<Arc<Self>, Error> {
        let connection = &config.connection;
        let tls = Tls::new(connection.tls.clone(), connection.auth, files.clone());
        let engine = Arc::new(Engine {
            pool: Pool::new(config, tls, passwords.clone())?,
            queue: Mutex::default(),
            cleaner: Cleaner::default(),
            stats: Stats::default(),
            reports: Reports::default(),
            work: Condvar::new(),
            tick: Condvar::new(),
            ended: Condvar::new(),
            server: connection.describe(),
            most_threads: config.pool.size,
            keepalive: config.pool.keepalive,
            started: Instant::now(),
            users: AtomicUsize::new(0),
            on_idle,
            has_own_password: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            backlog: config.pool.backlog,
        });
        engine.start("rsp-clock", clock::run)?;
        Ok(engine)
    }

    /// Starts a thread. Where it panics it goes on: the operations it held have been answered by then.
    fn start(self: &Arc<Self>, name: &str, run: fn(&Arc<Self>)) -> Result<(), Error> {
        let engine = Arc::clone(self);
        let run = move || while catch_unwind(AssertUnwindSafe(|| run(&engine))).is_err() {};
        thread::spawn(name, run)
            .map_err(|error| Error::internal(format!("no thread could be started: {error}")))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Has tables cleaned up in the background, about once an interval.
    pub(crate) fn clean_up(&self, tables: &Arc<Tables>, timeouts: Timeouts, interval: Duration) {
        self.cleaner.add(tables, timeouts, interval);
        // Under the queue's lock the clock plans how long it sleeps: it has not yet, or is notified.
        drop(self.lock());
        self.tick.notify_one();
    }

    /// Replaces the password of the connections to come.
    pub(crate) fn set_password(&self, password: &str) {
        self.has_own_password.store(true, Ordering::Relaxed);
        self.pool.set_password(password);
    }

    /// Counts a call of the storage that a site is moving in from.
    #[cfg(feature = "lua-module")]
    pub(crate) fn count_fallback(&self, outcome: &str) {
        self.stats.fallback(outcome);
    }

    /// Every counter and gauge, in the order in which they are printed.
    pub(crate) fn metrics(&self) -> Vec<Family> {
        let waiting = self.lock().len();
        self.stats.families(&self.pool, waiting)
    }

    /// Takes an operation; its reply gets the outcome. Returns at once.
    pub(crate) fn submit(self: &Arc<Self>, job: BoxedJob) -> Result<(), Error> {
        let now = job.submitted;
        self.dispatch(self.accept(job)?, now);
        Ok(())
    }

    /// Takes an operation of a caller that will wait for its reply anyway. If no other operation is
    /// under way and a connection is idle, the caller's own thread runs the statement: to hand it to
    /// another thread and back costs a single caller as much as the statement.
    pub(crate) fn submit_and_help(self: &Arc<Self>, job: BoxedJob) -> Result<(), Error> {
        let now = job.submitted;
        let mut queue = self.accept(job)?;
        if queue.is_first()
            // The blocking client cannot run inside another runtime.
            && tokio::runtime::Handle::try_current().is_err()
            && let Some(mut connection) = self.pool.idle()
            && let Some(batch) = queue.take(now, self.most_threads)
        {
            queue.threads += 1;
            drop(queue);
            let helping = Helping(self);
            worker::run_batch(self, &mut connection, batch);
            drop(connection);
            drop(helping);
            queue = self.lock();
        }
        self.dispatch(queue, now);
        Ok(())
    }

    /// Puts a job into the queue, if that takes one more, and hands the queue over locked.
    fn accept(&self, job: BoxedJob) -> Result<MutexGuard<'_, Queue>, Error> {
        let mut queue = self.lock();
        let limit = self.backlog;
        let refusal = if queue.stopping {
            Error::Stopped
        } else if queue.len() >= limit + self.most_threads {
            Error::Backlog { limit }
        } else {
            queue.last_submit = Some(job.submitted);
            queue.push(job);
            return Ok(queue);
        };
        drop(queue);
        if let Error::Backlog { .. } = refusal {
            self.stats.answered(&*job.operation, Some(&refusal));
            let server = &self.server;
            self.reports.backlog.log(Level::Warn, || {
                format!("the backlog of {limit} operations for {server} is full: more are refused")
            });
        }
        job.reply.forget();
        Err(refusal)
    }

    /// Unlocks the queue and has a thread woken for what is in it, if one is needed.
    fn dispatch(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, now: Instant) {
        let wake = queue.wake(now, self.most_threads, |queue| self.has_room(queue, now));
        // A thread that was woken will take what waits; if not, the clock looks as usual.
        let look_at = match wake {
            Wake::Nothing => queue.late_at(self.most_threads).filter(|late_at| *late_at > now),
            Wake::Sleeper | Wake::NewThread => None,
        };
        let look_at = look_at.unwrap_or(now + clock::TICK);
        let wake_clock = queue.len() > 0 && queue.next_tick.is_some_and(|tick| look_at < tick);
        if wake_clock {
            queue.next_tick = None;
        }
        drop(queue);
        match wake {
            Wake::Nothing => {}
            Wake::Sleeper => self.work.notify_one(),
            Wake::NewThread => {
                if let Err(error) = self.start("rsp-worker", worker::run) {
                    let mut queue = self.lock();
                    queue.threads -= 1;
                    let none_left = queue.threads == 0;
                    drop(queue);
                    if none_left {
                        self.fail_waiting(&error);
                    }
                }
            }
        }
        if wake_clock {
            self.tick.notify_one();
        }
    }

    /// Whether a thread would get a connection now. One at a time opens one.
    fn has_room(&self, queue: &Queue, now: Instant) -> bool {
        self.pool.idle_count() > 0 || queue.connecting == 0 && self.pool.may_open(now)
    }

    /// Puts the clean-ups that are due into the queue.
    fn start_clean_ups(self: &Arc<Self>, now: Instant) {
        for (sweep, tables, timeouts) in self.cleaner.due(now) {
            let (engine, swept) = (Arc::clone(self), Arc::clone(&tables));
            let reply = Reply::callback(move |outcome| {
                engine.cleaner.done(&swept, outcome.err().as_ref());
                // The clock sleeps until the next event that it knew of.
                drop(engine.lock());
                engine.tick.notify_one();
            });
            let job = Job::new(Box::new(sweep), &tables, timeouts, reply);
            let mut queue = self.lock();
            queue.push(job);
            self.dispatch(queue, now);
        }
    }

    /// Has the server end what was given up there, without waiting for the next operation, which would do
    /// the same: another process may save the same sessions meanwhile.
    fn end_given_up(self: &Arc<Self>, tables: &Arc<Tables>, timeouts: Timeouts) {
        let job = Job::new(Box::new(EndGivenUp), tables, timeouts, Reply::callback(drop));
        let (mut queue, now) = (self.lock(), job.submitted);
        if !queue.stopping {
            queue.push(job);
            self.dispatch(queue, now);
        }
    }

    /// Answers jobs that were taken out of the queue.
    fn answer(&self, outcomes: impl IntoIterator<Item = (BoxedJob, Outcome)>) {
        deliver(outcomes.into_iter().map(|(job, outcome)| {
            self.stats.answered(&*job.operation, outcome.as_ref().err());
            (job.reply, outcome)
        }));
    }

    /// Answers all operations that wait with an error. Returns how many.
    fn fail_waiting(&self, error: &Error) -> usize {
        let jobs = self.lock().remove_if(|_| true);
        let count = jobs.len();
        self.answer(jobs.into_iter().map(|job| (job, Err(error.clone()))));
        count
    }
}

/// A caller that runs a statement counts as one of the engine's threads until this is dropped, also by a
/// panic.
struct Helping<'a>(&'a Engine);

impl Drop for Helping<'_> {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
