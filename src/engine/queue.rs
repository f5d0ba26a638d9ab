//! The operations that wait, and who is awake to run them. All of it under one lock, which is never
//! held across I/O.

use super::job::Job;
use crate::Error;
use crate::batch::{self, Batchable, Busy, Limits};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What one statement may hold. 64 operations: measured as fast as 256 at 64 concurrent requests
/// and within a tenth of it at 256, at a quarter of the delay. The bytes keep large values from
/// adding up to a statement of many megabytes.
pub(crate) const BATCH: Limits = Limits {
    operations: 64,
    bytes: 1 << 20,
};

/// How long the oldest waiting operation bears with the threads that are running before one more
/// is put to work, and with it, if need be, one more connection. A batch takes about a
/// millisecond: whoever waited longer than that was not served by the next one.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2);

/// The engine's state.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: VecDeque<Job>,
    /// Operations that met a lock, and when to try again. Their sessions stay in `busy`: what comes
    /// later for them must not overtake.
    delayed: Vec<(Instant, Job)>,
    busy: Busy,
    /// Threads that exist, that sleep, and that were told to wake up but have not yet.
    pub(crate) threads: usize,
    pub(crate) sleeping: usize,
    pub(crate) called: usize,
    /// Threads that wait for a connection.
    pub(crate) connecting: usize,
    pub(crate) stopping: bool,
    /// The clock sleeps until it is told that there is something to watch.
    pub(crate) clock_sleeps: bool,
    pub(crate) last_submit: Option<Instant>,
}

/// Who is to run what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Those that are awake.
    Nobody,
    /// A sleeping thread.
    Sleeper,
    /// A new thread.
    NewThread,
}

impl Queue {
    /// The oldest job that can run now: nothing that runs, or waits for a lock, uses its sessions.
    pub(crate) fn runnable(&self) -> Option<&Job> {
        batch::first(&self.waiting, &self.busy, BATCH)
    }

    /// Whether the clock has nothing to watch.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.delayed.is_empty()
    }

    /// Whether the one job that waits is the only one there is.
    pub(crate) fn is_first(&self) -> bool {
        self.waiting.len() == 1
            && self.delayed.is_empty()
            && self.busy.is_empty()
            && self.threads == self.sleeping
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.delayed.len()
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Puts jobs that were taken back to where they were, in their order.
    pub(crate) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.busy.remove(job.footprint());
            self.waiting.push_front(job);
        }
    }

    /// Keeps a job that was taken until `at`; its sessions stay in use.
    pub(crate) fn delay(&mut self, job: Job, at: Instant) {
        self.delayed.push((at, job));
    }

    /// Takes the next batch; empty where nothing can run now.
    pub(crate) fn take(&mut self) -> Vec<Job> {
        batch::take(&mut self.waiting, &mut self.busy, BATCH)
    }

    /// Ends the use of a taken job's sessions.
    pub(crate) fn release(&mut self, job: &Job) {
        self.busy.remove(job.footprint());
    }

    /// Decides who is to run what waits, and counts on it.
    pub(crate) fn call(&mut self, now: Instant, most_threads: usize) -> Call {
        let Some(oldest) = self.runnable() else {
            return Call::Nobody;
        };
        let active = self.threads - self.sleeping;
        let late = now.saturating_duration_since(oldest.submitted) > PATIENCE;
        // One thread at a time waits for a connection; the others would only open more of them.
        if active > 0 && (!late || self.connecting > 0) {
            Call::Nobody
        } else if self.sleeping > 0 {
            self.sleeping -= 1;
            self.called += 1;
            Call::Sleeper
        } else if self.threads < most_threads {
            self.threads += 1;
            Call::NewThread
        } else {
            Call::Nobody
        }
    }

    /// Moves the delayed jobs whose time has come to the front of the queue.
    pub(crate) fn resume(&mut self, now: Instant) {
        let mut due = Vec::new();
        let mut n = 0;
        while n < self.delayed.len() {
            if self.delayed[n].0 <= now {
                due.push(self.delayed.swap_remove(n).1);
            } else {
                n += 1;
            }
        }
        due.sort_by_key(|job| job.submitted);
        self.put_back(due);
    }

    /// Takes out the jobs whose time is up.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<Job> {
        let mut expired = Vec::new();
        if self.waiting.iter().any(|job| job.expires() <= now) {
            let waiting = std::mem::take(&mut self.waiting);
            for job in waiting {
                if job.expires() <= now {
                    expired.push(job);
                } else {
                    self.waiting.push_back(job);
                }
            }
        }
        let mut n = 0;
        while n < self.delayed.len() {
            if self.delayed[n].1.expires() <= now {
                let (_, job) = self.delayed.swap_remove(n);
                self.busy.remove(job.footprint());
                expired.push(job);
            } else {
                n += 1;
            }
        }
        expired
    }

    /// Takes out all jobs, to answer them with `error`.
    pub(crate) fn clear(&mut self, error: &Error) -> Vec<(Job, Error)> {
        let mut cleared: Vec<(Job, Error)> = Vec::new();
        for job in self.waiting.drain(..) {
            cleared.push((job, error.clone()));
        }
        for (_, job) in self.delayed.drain(..) {
            self.busy.remove(job.footprint());
            cleared.push((job, error.clone()));
        }
        cleared
    }
}
