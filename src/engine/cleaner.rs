//! Cleaning up in the background: when the next statement is due, and how much it may do. The clock
//! asks, and puts it into the queue like any other operation; nothing here waits.

use super::job::{Job, Target};
use crate::completion::Reply;
use crate::host::log::{self, Level};
use crate::host::seat::Seat;
use crate::manage::{MOST_ROWS, Sweep, Swept};
use crate::op::{Epoch, Outcome, Output};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What one statement should take: it holds a connection, and rows, for so long.
const STATEMENT_TIME: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(6));

/// The fewest rows of a statement, and those of the first: far from the server, a statement of a few
/// would be all travel.
const ROWS: u32 = 100;

/// After a full statement there is more to do. The pause lets a busy server have most of its time
/// for others. It is at least the first of these, and at most the second, however slow the server is.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// The pause is so many times as long as the statement: the first, less one for each [`HURRY`] in which
/// there was always more to do, but no less than the second.
const PAUSE_FACTOR: (u32, u32) = (9, 2);
const HURRY: Duration = Duration::from_secs(300);

/// Whoever has no seat, or whose clean-up fails, waits so many intervals at most.
const PATIENCE: u32 = 10;

/// The tables to clean up.
#[derive(Default)]
pub(super) struct Cleaner(Mutex<Vec<Task>>);

struct Task {
    target: Arc<Target>,
    interval: Duration,
    /// The name of the seat: one process of a machine is enough for each pair of tables.
    name: String,
    seat: Option<Seat>,
    due: Instant,
    running: bool,
    rows: u32,
    /// While one full statement follows another: what the last one reached.
    since: Option<Epoch>,
    /// There is more to do than one statement does: since when.
    behind: Option<Instant>,
    failures: u32,
}

/// A time near to `interval`, so that processes that started together do not stay together.
fn around(interval: Duration) -> Duration {
    let luck = RandomState::new().hash_one(()) % 1024;
    interval * 3 / 4 + interval / 2 * luck as u32 / 1024
}

impl Cleaner {
    fn lock(&self) -> MutexGuard<'_, Vec<Task>> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Has a target's tables cleaned up from now on.
    pub(super) fn add(&self, target: &Arc<Target>, interval: Duration, name: String) {
        let mut tasks = self.lock();
        if !tasks.iter().any(|task| Arc::ptr_eq(&task.target, target)) {
            tasks.push(Task {
                target: Arc::clone(target),
                interval,
                name,
                seat: None,
                due: Instant::now() + around(interval) * 3 / 4,
                running: false,
                rows: ROWS,
                since: None,
                behind: None,
                failures: 0,
            });
        }
    }

    /// Gives the seats to others.
    pub(super) fn stop(&self) {
        self.lock().clear();
    }

    /// When the next statement is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let tasks = self.lock();
        let idle = tasks.iter().filter(|task| !task.running);
        idle.map(|task| task.due).min()
    }

    /// The statements that are due. `told` makes the reply, which must end in [`Cleaner::done`].
    pub(super) fn due(&self, now: Instant, told: impl Fn(&Arc<Target>) -> Reply) -> Vec<Job> {
        let mut jobs = Vec::new();
        for task in self.lock().iter_mut() {
            if task.running || task.due > now {
                continue;
            }
            if task.seat.is_none() {
                // Where it cannot be said who has it, everybody cleans: the database's lock is what
                // keeps them from doing so at the same time.
                match Seat::take(&task.name) {
                    Ok(Some(seat)) => task.seat = Some(seat),
                    Ok(None) if task.failures + 1 < PATIENCE => {
                        task.failures += 1;
                        task.due = now + around(task.interval);
                        continue;
                    }
                    Ok(None) | Err(_) => {}
                }
            }
            task.running = true;
            let lag = match task.since {
                // One of many in a row.
                Some(_) => task.target.lag(),
                None => task.target.take_lag(),
            };
            let sweep = Sweep {
                rows: task.rows,
                now: Epoch::now().plus(-lag),
                since: task.since.take(),
            };
            let reply = told(&task.target);
            let mut job = Job::new(sweep.into(), Arc::clone(&task.target), reply);
            job.background = true;
            jobs.push(job);
        }
        jobs
    }

    /// Plans the next statement by what came of this one.
    pub(super) fn done(&self, target: &Arc<Target>, outcome: &Outcome) {
        let mut tasks = self.lock();
        let mut all = tasks.iter_mut();
        let Some(task) = all.find(|task| Arc::ptr_eq(&task.target, target)) else {
            return;
        };
        task.running = false;
        let pause = match outcome {
            Ok(Output::Swept(swept)) => task.after(*swept),
            Ok(_) => task.interval,
            Err(error) => {
                if task.failures == 0 && *error != crate::Error::Stopped {
                    log::log(Level::Warn, format!("no clean-up: {error}"));
                }
                task.failures = (task.failures + 1).min(PATIENCE);
                around(task.interval) * task.failures
            }
        };
        task.due = Instant::now() + pause;
    }
}

impl Task {
    fn after(&mut self, swept: Swept) -> Duration {
        self.failures = 0;
        if !swept.ours || swept.removed < self.rows {
            self.behind = None;
            return around(self.interval);
        }
        self.since = swept.until;
        if swept.took < STATEMENT_TIME.0 {
            self.rows = (self.rows * 2).min(MOST_ROWS);
        } else if swept.took > STATEMENT_TIME.1 {
            self.rows = (self.rows / 2).max(ROWS);
        }
        let behind = self.behind.get_or_insert_with(Instant::now).elapsed();
        let hurry = u32::try_from(behind.as_secs() / HURRY.as_secs()).unwrap_or(u32::MAX);
        let factor = PAUSE_FACTOR.0.saturating_sub(hurry).max(PAUSE_FACTOR.1);
        (swept.took * factor).clamp(PAUSE.0, PAUSE.1)
    }
}
