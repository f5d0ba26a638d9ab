//! The operations that wait, each with what the engine knows of it, and the threads that are awake to run
//! them. All of it under one lock, which is never held across I/O.

use super::batch::{Limits, Planner};
use super::job::{BoxedJob, Job};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What one statement may hold. With 256 concurrent requests, 128 operations were measured an eighth
/// to a fifth faster than 64. The bytes keep large values from adding up to a statement of many
/// megabytes.
pub(super) const BATCH: Limits = Limits { operations: 128, bytes: 1 << 20 };

/// The wait threshold with one running thread: once the oldest operation has waited for so long, a
/// second thread is woken, and with it, if need be, a second connection opened. A batch takes about a
/// millisecond: an operation that has waited longer was not in the next one.
pub(super) const WAIT_THRESHOLD: Duration = Duration::from_millis(2);

/// How much the threshold grows with each further thread, up to a limit: 10 ms with two, 50 ms with three.
/// Two connections keep PostgreSQL busy, one being served while the other's batch fills up; more of them
/// make for smaller batches, and only help where statements are held up, by a slow disk or a slow
/// network.
const THRESHOLD_GROWTH: u32 = 5;

/// Far below the time that an operation has: where all connections are stuck, there must be time for others.
const LONGEST_THRESHOLD: Duration = Duration::from_millis(250);

fn wait_threshold(active: usize) -> Duration {
    let further = active.saturating_sub(1).min(6) as u32;
    (WAIT_THRESHOLD * THRESHOLD_GROWTH.pow(further)).min(LONGEST_THRESHOLD)
}

/// Jobs that run by themselves, beside the others: on half of the threads at most, and on all but one
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Reads of large sessions.
    Large,
    /// Operations that may take long.
    Long,
}

/// The jobs of a lane that wait, and how many run.
#[derive(Default)]
pub(super) struct Separate {
    pub(super) waiting: VecDeque<BoxedJob>,
    pub(super) running: usize,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: Planner<BoxedJob>,
    /// Jobs that met a lock, and when to try again. Their sessions stay in use: what comes later
    /// for them must not overtake.
    pub(super) locked: Vec<(Instant, BoxedJob)>,
    /// One for each [`Lane`]. Their sessions stay in use, too.
    pub(super) separate: [Separate; 2],
    /// A locked job is being tried.
    pub(super) trying: bool,
    /// Which of the four kinds of jobs comes first.
    next: usize,
    /// Threads that exist, that sleep, and that were notified but have not woken yet. A caller that
    /// runs its own statement counts as a thread meanwhile.
    pub(super) threads: usize,
    pub(super) sleeping: usize,
    pub(super) woken: usize,
    /// Threads that open a connection: one at most.
    pub(super) connecting: usize,
    pub(super) stopping: bool,
    /// When the clock looks next by itself. None while it is awake.
    pub(super) next_tick: Option<Instant>,
    pub(super) last_submit: Option<Instant>,
}

/// What a thread takes to run as one statement.
pub(super) struct Batch {
    pub(super) jobs: Vec<BoxedJob>,
    /// It is a locked job's next try.
    pub(super) retry: bool,
    /// It is a job that runs by itself: others do not wait for it.
    pub(super) separate: Option<Lane>,
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
        let separate = self.separate.iter().map(|lane| lane.waiting.len());
        self.jobs.len() + self.locked.len() + separate.sum::<usize>()
    }

    /// Adds a job behind all others.
    pub(super) fn push(&mut self, job: BoxedJob) {
        match lane_of(&job) {
            Some(lane) => self.lane(lane).waiting.push_back(job),
            None => self.jobs.push(job),
        }
    }

    /// Puts jobs that were taken back before all others.
    pub(super) fn put_back(&mut self, jobs: Vec<BoxedJob>) {
        let (long, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| lane_of(job).is_some());
        for job in long {
            self.lane(Lane::Long).waiting.push_front(job);
        }
        self.jobs.put_back(others);
    }

    pub(super) fn lane(&mut self, lane: Lane) -> &mut Separate {
        &mut self.separate[lane as usize]
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

    /// How many jobs run by themselves.
    fn running_separate(&self) -> usize {
        self.separate.iter().map(|lane| lane.running).sum()
    }

    /// Threads that are awake for what others wait for.
    fn serving(&self) -> usize {
        let others = self.sleeping + self.connecting + self.running_separate();
        self.threads.saturating_sub(others)
    }

    /// Whether a job of that lane may run.
    fn may_run(&self, lane: Lane, most_threads: usize) -> bool {
        let Separate { waiting, running } = &self.separate[lane as usize];
        let is_below = |running: usize, most: usize| running < most.max(1);
        !waiting.is_empty()
            && is_below(*running, most_threads / 2)
            && is_below(self.running_separate(), most_threads - 1)
    }

    fn may_run_separate(&self, most_threads: usize) -> bool {
        [Lane::Large, Lane::Long].into_iter().any(|lane| self.may_run(lane, most_threads))
    }

    pub(super) fn has_work(&mut self, now: Instant, most_threads: usize) -> bool {
        self.jobs.first().is_some()
            || self.due(now).is_some()
            || self.may_run_separate(most_threads)
    }

    /// Takes what to do next; nothing where nothing can run now.
    pub(super) fn take(&mut self, now: Instant, most_threads: usize) -> Option<Batch> {
        // They take turns, so that none of them keeps the others waiting.
        let takes = [Self::take_locked, Self::take_large, Self::take_long, Self::take_fresh];
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
        let separate = lane_of(&job);
        if let Some(lane) = separate {
            self.lane(lane).running += 1;
        }
        Some(Batch { jobs: vec![job], retry: true, separate })
    }

    fn take_large(&mut self, now: Instant, most_threads: usize) -> Option<Batch> {
        self.take_separate(Lane::Large, now, most_threads)
    }

    fn take_long(&mut self, now: Instant, most_threads: usize) -> Option<Batch> {
        self.take_separate(Lane::Long, now, most_threads)
    }

    fn take_separate(&mut self, lane: Lane, now: Instant, most_threads: usize) -> Option<Batch> {
        let has_others = self.jobs.first().is_some();
        let others_are_served = !has_others || self.serving() > 1 || most_threads == 1;
        // There may be one connection only, whatever the pool's size.
        let oldest = self.separate[lane as usize].waiting.front();
        let is_late = oldest.is_some_and(|job| job.submitted + LONGEST_THRESHOLD <= now);
        if !others_are_served && !is_late || !self.may_run(lane, most_threads) {
            return None;
        }
        let job = self.lane(lane).waiting.pop_front()?;
        self.lane(lane).running += 1;
        Some(Batch { jobs: vec![job], retry: false, separate: Some(lane) })
    }

    fn take_fresh(&mut self, _: Instant, _: usize) -> Option<Batch> {
        let jobs = self.jobs.take(BATCH);
        (!jobs.is_empty()).then_some(Batch { jobs, retry: false, separate: None })
    }

    /// When the oldest job that could run has waited for too long, so that one more thread is woken.
    pub(super) fn late_at(&mut self, most_threads: usize) -> Option<Instant> {
        if self.sleeping == 0 && self.threads >= most_threads {
            return None;
        }
        let threshold = wait_threshold(self.serving());
        self.jobs.first().map(|oldest| oldest.submitted + threshold)
    }

    /// Decides which thread is to be woken to run what waits, and counts it as woken. `has_room` says
    /// whether it would get a connection.
    pub(super) fn wake(
        &mut self,
        now: Instant,
        most_threads: usize,
        has_room: impl FnOnce(&Self) -> bool,
    ) -> Wake {
        let active = self.serving();
        let separate = self.may_run_separate(most_threads);
        let retry = self.due(now).is_some() || separate;
        let late = match self.jobs.first() {
            Some(_) => self.late_at(most_threads).is_some_and(|late_at| late_at < now),
            None if retry => true,
            None => return Wake::Nothing,
        };
        let late = late || separate && active < 2;
        if active > 0 && !late || !has_room(self) {
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
        for lane in &mut self.separate {
            let (ended, kept): (VecDeque<_>, _) =
                std::mem::take(&mut lane.waiting).into_iter().partition(|job| which(job));
            lane.waiting = kept;
            for job in ended {
                self.jobs.release(&job.footprint);
                removed.push(job);
            }
        }
        removed
    }
}

/// The lane of a job from its start.
fn lane_of(job: &Job) -> Option<Lane> {
    job.operation.kind().long.then_some(Lane::Long)
}

#[cfg(test)]
mod tests;
