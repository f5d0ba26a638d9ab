//! The engine: takes operations from any number of callers and runs them, in batches, on a few
//! threads and connections of its own. No caller waits beyond its deadline, whatever the database does.

mod batch;
mod cleaner;
mod clock;
mod job;
mod prometheus;
mod queue;
mod registry;
mod reports;
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use job::Job;
pub(crate) use prometheus::{Sample, render};

use crate::Error;
use crate::config::{Config, Secret, Timeouts};
use crate::db::Tables;
use crate::host::thread;
use crate::pool::Pool;
use crate::tls::Tls;
use cleaner::Cleaner;
use reports::Reports;
use shared::Shared;
use stats::{Gauges, Stats};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How often an engine that is being stopped looks whether its threads have ended.
const STOP_STEP: Duration = Duration::from_millis(5);

/// One pool of connections and the threads that use it.
pub(crate) struct Engine(Arc<Shared>);

impl Engine {
    /// An engine without worker threads and connections: they come with the first operations.
    pub(crate) fn new(config: &Config, tls: Tls, passwords: Option<Secret>) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            pool: Pool::new(config, tls, passwords)?,
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

    /// Has tables cleaned up in the background, about once an interval.
    pub(crate) fn clean_up(&self, tables: &Arc<Tables>, timeouts: Timeouts, interval: Duration) {
        self.0.cleaner.add(tables, timeouts, interval);
    }

    /// Logs that there is a new engine; not under a lock that others wait for.
    pub(crate) fn announce(&self) {
        self.0.report_start();
    }

    /// Every counter and gauge, in the order in which they are printed.
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

    /// Takes an operation of a caller that will wait for its reply anyway. If no other operation is
    /// under way and a connection is idle, the caller's own thread runs the statement: to hand it to
    /// another thread and back costs a lone caller as much as the statement.
    pub(crate) fn submit_and_help(&self, job: Job) -> Result<(), Error> {
        let now = job.submitted;
        let shared = &self.0;
        let mut queue = shared.accept(job)?;
        if queue.is_first()
            // The blocking client cannot run inside another runtime.
            && tokio::runtime::Handle::try_current().is_err()
            && let Some(mut connection) = shared.pool.idle()
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

    /// Ends the engine: what waits is answered, what runs gets half of the time to finish and is then
    /// cancelled. Connections are closed with a Terminate message. Never takes longer than `time`.
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
        // Connections that are being opened or used come to the pool later, and are closed then.
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
