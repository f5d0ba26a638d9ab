//! When the clean-up's next statement is due, for each pair of tables. The clock asks, and puts it into
//! the queue like any other operation; nothing here waits.
//!
//! Each process cleans up, and a lock in the database lets one at a time: see `crate::ops::cleanup`.

use crate::Error;
use crate::config::Timeouts;
use crate::db::Tables;
use crate::host::{lock, log, log::Level};
use crate::ops::{Sweep, SweepPace};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// The tables to clean up, for as long as a storage has them.
#[derive(Default)]
pub(super) struct Cleaner(Mutex<Vec<Task>>);

struct Task {
    tables: Weak<Tables>,
    timeouts: Timeouts,
    interval: Duration,
    pace: Arc<SweepPace>,
    due: Instant,
    running: bool,
    /// The last attempt has failed.
    failed: bool,
}

impl Task {
    fn is_for(&self, tables: &Arc<Tables>) -> bool {
        self.tables.as_ptr() == Arc::as_ptr(tables)
    }
}

/// A time near to `interval`, so that processes that started together do not stay together.
fn around(interval: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) % 1024;
    interval * 3 / 4 + interval / 2 * random as u32 / 1024
}

impl Cleaner {
    /// Has tables cleaned up from now on.
    pub(super) fn add(&self, tables: &Arc<Tables>, timeouts: Timeouts, interval: Duration) {
        let mut tasks = lock(&self.0);
        if !tasks.iter().any(|task| task.is_for(tables)) {
            tasks.push(Task {
                tables: Arc::downgrade(tables),
                timeouts,
                interval,
                pace: Arc::default(),
                due: Instant::now() + around(interval) * 3 / 4,
                running: false,
                failed: false,
            });
        }
    }

    pub(super) fn stop(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let tasks = lock(&self.0);
        let waiting = tasks.iter().filter(|task| !task.running && task.tables.strong_count() > 0);
        waiting.map(|task| task.due).min()
    }

    /// The statements that are due; each must end in [`Cleaner::done`].
    pub(super) fn due(&self, now: Instant) -> Vec<(Sweep, Arc<Tables>, Timeouts)> {
        let mut tasks = lock(&self.0);
        tasks.retain(|task| task.tables.strong_count() > 0);
        let due = tasks.iter_mut();
        let due = due.filter(|task| !task.running && task.due <= now);
        due.filter_map(|task| {
            let tables = task.tables.upgrade()?;
            task.running = true;
            let pace = Arc::clone(&task.pace);
            Some((Sweep { pace }, tables, task.timeouts))
        })
        .collect()
    }

    /// A statement has ended: plans the next one.
    pub(super) fn done(&self, tables: &Arc<Tables>, error: Option<&Error>) {
        let mut tasks = lock(&self.0);
        let mut all = tasks.iter_mut();
        let Some(task) = all.find(|task| task.is_for(tables)) else {
            return;
        };
        task.running = false;
        let failed_before = std::mem::replace(&mut task.failed, error.is_some());
        let more_to_do = task.pace.pause().filter(|_| error.is_none());
        task.due = Instant::now() + more_to_do.unwrap_or_else(|| around(task.interval));
        drop(tasks);
        if let Some(error) = error
            && !failed_before
            && *error != Error::Stopped
        {
            log::log(Level::Warn, format!("no clean-up: {error}"));
        }
    }
}
