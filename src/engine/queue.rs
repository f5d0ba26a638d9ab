//! The operations that wait, each with what the engine knows of it, and the threads that are awake to run
//! them. All of it under one lock, which is never held across I/O.

use super::batch::{Footprint, Group, Limits, Planned, Planner, Round};
use crate::Error;
use crate::completion::Reply;
use crate::config::Timeouts;
use crate::db::Tables;
use crate::op::AnyOperation;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// What one statement may hold. With 256 concurrent requests, 128 operations were measured an eighth
/// to a fifth faster than 64. The bytes keep large values from adding up to a statement of many
/// megabytes.
pub(super) const BATCH: Limits = Limits { operations: 128, bytes: 1 << 20 };

/// The wait threshold with one running thread: once the oldest operation has waited for so long, a
/// second thread is woken, and with it, if need be, a second connection opened. A batch takes about a
/// millisecond: an operation that has waited longer was not in the next one.
const WAIT_THRESHOLD: Duration = Duration::from_millis(2);

/// How much the threshold grows with each further thread: 10 ms with two, 50 ms with three, and so on.
/// Two connections keep PostgreSQL busy, one being served while the other's batch fills up; more of them
/// make for smaller batches, and only help where statements are held up, by a slow disk or a slow
/// network.
const THRESHOLD_GROWTH: u32 = 5;

fn wait_threshold(active: usize) -> Duration {
    let further = active.saturating_sub(1).min(6) as u32;
    WAIT_THRESHOLD * THRESHOLD_GROWTH.pow(further)
}

pub(crate) struct Job {
    pub(super) operation: Box<dyn AnyOperation>,
    pub(super) tables: Arc<Tables>,
    pub(super) timeouts: Timeouts,
    pub(super) reply: Reply,
    pub(super) submitted: Instant,
    /// Until when it may take; set when its first statement starts.
    pub(super) deadline: Option<Instant>,
    /// How often it was interrupted by a lost connection.
    pub(super) losses: u32,
    /// How long it last paused before it was tried again.
    pub(super) pause: Duration,
    /// Why it was not carried out when it was last tried; the answer, should its time run out.
    pub(super) last_error: Option<Error>,
    pub(super) footprint: Footprint,
}

/// The queue moves jobs often, and they are large.
pub(crate) type BoxedJob = Box<Job>;

impl Job {
    pub(crate) fn new(
        operation: Box<dyn AnyOperation>,
        tables: &Arc<Tables>,
        timeouts: Timeouts,
        reply: Reply,
    ) -> BoxedJob {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let kind = operation.kind();
        Box::new(Job {
            footprint: Footprint {
                group: group(&*operation, tables, Round::default()),
                writes: kind.writes,
                sessions: operation.keys().map(|key| Some(HASHER.hash_one(key?))),
                bytes: operation.bytes(),
                batch_size: kind.batch_size,
            },
            timeouts: kind.time_limit.map_or(timeouts, |limit| timeouts.at_most(limit)),
            operation,
            tables: Arc::clone(tables),
            reply,
            submitted: Instant::now(),
            deadline: None,
            losses: 0,
            pause: Duration::ZERO,
            last_error: None,
        })
    }

    /// Its group in the round of those that have its deadline.
    pub(super) fn group_again(&self, part: u32) -> Option<Group> {
        group(&*self.operation, &self.tables, Round { deadline: self.deadline, part })
    }

    /// Until when it may wait: for a connection first, then for its answer.
    pub(super) fn expires(&self) -> Instant {
        self.deadline.unwrap_or_else(|| self.submitted + self.timeouts.connect)
    }
}

fn group(operation: &dyn AnyOperation, tables: &Arc<Tables>, round: Round) -> Option<Group> {
    let tables_address = Arc::as_ptr(tables) as usize;
    operation.batches(tables).then_some((tables_address, operation.kind().id, round))
}

impl Planned for BoxedJob {
    fn footprint(&self) -> &Footprint {
        &self.footprint
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: Planner<BoxedJob>,
    /// Jobs that met a lock, and when to try again. Their sessions stay in use: what comes later
    /// for them must not overtake.
    pub(super) locked: Vec<(Instant, BoxedJob)>,
    /// Jobs that are to run by themselves, such as reads of large sessions, and how many do. Their
    /// sessions stay in use, too.
    pub(super) separate: VecDeque<BoxedJob>,
    pub(super) running_separate: usize,
    /// A locked job is being tried.
    pub(super) trying: bool,
    /// Which of the three kinds of jobs comes first.
    next: usize,
    /// Threads that exist, that sleep, and that were notified but have not woken yet. A caller that
    /// runs its own statement counts as a thread meanwhile.
    pub(super) threads: usize,
    pub(super) sleeping: usize,
    pub(super) woken: usize,
    pub(super) connecting: usize,
    pub(super) stopping: bool,
    /// The clock sleeps until it is notified that there is something to watch.
    pub(super) clock_sleeps: bool,
    pub(super) last_submit: Option<Instant>,
}

/// What a thread takes to run as one statement.
pub(super) struct Batch {
    pub(super) jobs: Vec<BoxedJob>,
    /// It is a locked job's next try.
    pub(super) retry: bool,
    /// It is a job that runs by itself: others do not wait for it.
    pub(super) separate: bool,
}

/// Which thread is to be woken, to run what waits.
pub(super) enum Wake {
    /// None: those that are awake suffice.
    Nothing,
    Sleeper,
    NewThread,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.jobs.len() + self.locked.len() + self.separate.len()
    }

    /// Whether the one job that waits is the only one there is.
    pub(super) fn is_first(&self) -> bool {
        self.len() == 1 && self.jobs.is_idle() && self.threads == self.sleeping
    }

    /// A lock was released: jobs that wait for one may try now. Those that have not met it by themselves
    /// do so together.
    pub(super) fn try_locked_now(&mut self, now: Instant) {
        let is_untried = |(_, job): &mut (_, BoxedJob)| job.pause.is_zero();
        let untried = self.locked.extract_if(.., is_untried).map(|(_, mut job)| {
            job.footprint.group = job.group_again(0);
            job
        });
        let mut untried: Vec<BoxedJob> = untried.collect();
        untried.sort_by_key(|job| job.submitted);
        self.jobs.put_back(untried);
        for (at, _) in &mut self.locked {
            *at = now.min(*at);
        }
    }

    /// Where in `locked` the job is that is to be tried next. One at a time: each may hold its
    /// connection for the whole lock_timeout, and the others need connections, too.
    fn due(&self, now: Instant) -> Option<usize> {
        let places = 0..self.locked.len();
        let due = places.filter(|&place| !self.trying && self.locked[place].0 <= now);
        due.min_by_key(|&place| self.locked[place].0)
    }

    /// Threads that are awake for what others wait for.
    fn serving(&self) -> usize {
        self.threads - self.sleeping - self.running_separate
    }

    /// Whether a job may run by itself: on half of the threads at most, so that the others have theirs.
    fn may_run_separate(&self, most_threads: usize) -> bool {
        !self.separate.is_empty() && self.running_separate < (most_threads / 2).max(1)
    }

    pub(super) fn has_work(&mut self, now: Instant, most_threads: usize) -> bool {
        self.jobs.first().is_some()
            || self.due(now).is_some()
            || self.may_run_separate(most_threads)
    }

    /// Takes what to do next; nothing where nothing can run now.
    pub(super) fn take(&mut self, now: Instant, most_threads: usize) -> Option<Batch> {
        // They take turns, so that none of them keeps the others waiting.
        let takes = [Self::take_locked, Self::take_separate, Self::take_fresh];
        let first = self.next;
        (0..takes.len()).map(|n| (first + n) % takes.len()).find_map(|kind| {
            let batch = takes[kind](self, now, most_threads)?;
            self.next = kind + 1;
            Some(batch)
        })
    }

    fn take_locked(&mut self, now: Instant, _: usize) -> Option<Batch> {
        let place = self.due(now)?;
        self.trying = true;
        let (_, job) = self.locked.remove(place);
        Some(Batch { jobs: vec![job], retry: true, separate: false })
    }

    fn take_separate(&mut self, _: Instant, most_threads: usize) -> Option<Batch> {
        let has_others = self.jobs.first().is_some();
        let others_are_served = !has_others || self.serving() > 1 || most_threads == 1;
        if !others_are_served || !self.may_run_separate(most_threads) {
            return None;
        }
        let job = self.separate.pop_front()?;
        self.running_separate += 1;
        Some(Batch { jobs: vec![job], retry: false, separate: true })
    }

    fn take_fresh(&mut self, _: Instant, _: usize) -> Option<Batch> {
        let jobs = self.jobs.take(BATCH);
        (!jobs.is_empty()).then_some(Batch { jobs, retry: false, separate: false })
    }

    /// Decides which thread is to be woken to run what waits, and counts it as woken.
    pub(super) fn wake(&mut self, now: Instant, most_threads: usize) -> Wake {
        let active = self.serving();
        let separate = self.may_run_separate(most_threads);
        let retry = self.due(now).is_some() || separate;
        let late = match self.jobs.first() {
            Some(oldest) => {
                let waited = now.saturating_duration_since(oldest.submitted);
                waited > wait_threshold(active)
            }
            None if retry => true,
            None => return Wake::Nothing,
        };
        // One thread at a time waits for a connection; the others would only open more of them.
        let late = late || separate && active < 2;
        if active > 0 && (!late || self.connecting > 0) {
            Wake::Nothing
        } else if self.sleeping > 0 {
            self.sleeping -= 1;
            self.woken += 1;
            Wake::Sleeper
        } else if self.threads < most_threads {
            self.threads += 1;
            Wake::NewThread
        } else {
            Wake::Nothing
        }
    }

    /// Takes out the jobs that `which` picks.
    pub(super) fn remove_if(&mut self, which: impl Fn(&Job) -> bool) -> Vec<BoxedJob> {
        let mut removed = self.jobs.remove_if(|job| which(job));
        for (_, job) in self.locked.extract_if(.., |(_, job)| which(job)) {
            self.jobs.release(&job.footprint);
            removed.push(job);
        }
        let (ended, kept): (VecDeque<_>, _) =
            std::mem::take(&mut self.separate).into_iter().partition(|job| which(job));
        self.separate = kept;
        for job in ended {
            self.jobs.release(&job.footprint);
            removed.push(job);
        }
        removed
    }
}

#[cfg(test)]
mod tests;
