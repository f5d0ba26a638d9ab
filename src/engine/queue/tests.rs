//! Which jobs a thread takes next, and which thread is woken for them.

use super::*;
use crate::Config;
use crate::completion::Reply;
use crate::db::Tables;
use crate::op::Epoch;
use crate::ops::{Count, Get, Scope};
use std::sync::Arc;

fn job_on(tables: &Arc<Tables>, key: &str) -> BoxedJob {
    let get = Box::new(Get::new(key, Epoch::now()).expect("a key"));
    Job::new(get, tables, Config::default().timeouts, Reply::callback(|_| {}))
}

fn job(key: &str) -> BoxedJob {
    let config = Config::default();
    job_on(&Arc::new(Tables::new(config.sessions, config.metadata, None, Duration::ZERO)), key)
}

/// So many threads are awake; each takes a batch. Which of them are separate.
fn taken(queue: &mut Queue, threads: usize, most_threads: usize) -> Vec<bool> {
    queue.threads = threads;
    let take = |_| queue.take(Instant::now(), most_threads).map(|batch| batch.separate.is_some());
    (0..threads).filter_map(take).collect()
}

#[test]
fn separate_jobs_have_half_of_the_threads_and_leave_one_to_the_others() {
    for (threads, most_threads, others, expected) in [
        (4, 4, 0, vec![true, true]),
        (4, 4, 1, vec![true, false, true]),
        (2, 4, 1, vec![true, false]),
        (1, 4, 1, vec![false]),
        (1, 4, 0, vec![true]),
        (1, 1, 1, vec![true]),
        (3, 3, 1, vec![true, false]),
    ] {
        let mut queue = Queue::default();
        (0..3).for_each(|n| queue.lane(Lane::Large).waiting.push_back(job(&format!("large {n}"))));
        (0..others).for_each(|n| queue.jobs.push(job(&format!("small {n}"))));
        let taken = taken(&mut queue, threads, most_threads);
        assert_eq!(taken, expected, "{threads} of {most_threads}, {others}");
    }
}

#[test]
fn locked_separate_and_fresh_jobs_take_turns() {
    let mut queue = Queue { threads: 1, ..Queue::default() };
    let now = Instant::now();
    for n in 0..2 {
        queue.lane(Lane::Large).waiting.push_back(job(&format!("large {n}")));
        queue.locked.push((now, job(&format!("locked {n}"))));
    }
    let kinds: Vec<_> = std::iter::from_fn(|| {
        let batch = queue.take(now, 1)?;
        queue.trying = false;
        queue.lane(Lane::Large).running = 0;
        let large = queue.lane(Lane::Large).waiting.len();
        if queue.jobs.len() == 0 && large > 0 {
            queue.jobs.push(job(&format!("small {large}")));
        }
        Some((batch.retry, batch.separate.is_some()))
    })
    .collect();
    let (locked, separate, fresh) = ((true, false), (false, true), (false, false));
    assert_eq!(kinds, [locked, separate, fresh, locked, separate, fresh]);
}

#[test]
fn a_separate_job_wakes_a_thread_of_its_own() {
    let mut queue = Queue { threads: 1, ..Queue::default() };
    queue.lane(Lane::Large).waiting.push_back(job("large"));
    queue.jobs.push(job("small"));
    let wake = |queue: &mut Queue| queue.wake(Instant::now(), 4, |_| true);
    // One serves the others.
    assert!(matches!(wake(&mut queue), Wake::NewThread));
    assert!(matches!(wake(&mut queue), Wake::Nothing));
    // It is taken, and its thread does not count as one that serves.
    let batch = queue.take(Instant::now(), 4).expect("a job");
    assert!(batch.separate.is_some() && queue.serving() == 1);
    queue.sleeping = 1;
    assert!(matches!(wake(&mut queue), Wake::Sleeper));
    assert_eq!(queue.remove_if(|_| true).len(), 1);
}

#[test]
fn jobs_that_have_not_met_the_lock_by_themselves_are_tried_together_again() {
    let mut queue = Queue { threads: 1, ..Queue::default() };
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let config = Config::default();
    let tables = Arc::new(Tables::new(config.sessions, config.metadata, None, Duration::ZERO));
    for (key, pause) in [("tried", 20), ("first", 0), ("second", 0)] {
        let mut job = job_on(&tables, key);
        job.footprint.group = None;
        job.pause = Duration::from_millis(pause);
        queue.locked.push((later, job));
    }
    queue.try_locked_now(now);
    let keys = |batch: Option<Batch>| -> Vec<String> {
        let jobs = batch.expect("a batch").jobs.into_iter();
        jobs.map(|job| job.operation.keys()[0].expect("a key").to_owned()).collect()
    };
    assert_eq!(keys(queue.take(now, 1)), ["tried"]);
    assert_eq!(keys(queue.take(now, 1)), ["first", "second"]);
}

/// Each may hold its connection until its lock_timeout is over.
#[test]
fn one_locked_job_is_tried_at_a_time_and_the_one_that_is_due_first() {
    let mut queue = Queue { threads: 4, ..Queue::default() };
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    for millis in [20, 10, 30] {
        queue.locked.push((at(millis), job(&format!("due after {millis}"))));
    }
    let tried = |queue: &mut Queue, now| -> Option<String> {
        let batch = queue.take(now, 4)?;
        assert!(batch.retry);
        batch.jobs[0].operation.keys()[0].map(str::to_owned)
    };
    assert_eq!(tried(&mut queue, at(9)), None);
    for millis in [10, 20] {
        assert_eq!(tried(&mut queue, at(25)), Some(format!("due after {millis}")));
        assert_eq!(tried(&mut queue, at(25)), None, "one is being tried");
        queue.trying = false;
    }
    assert_eq!(tried(&mut queue, at(25)), None);
    assert_eq!(tried(&mut queue, at(30)), Some("due after 30".into()));
}

#[test]
fn only_the_jobs_that_are_picked_are_removed() {
    let mut queue = Queue::default();
    for key in ["picked", "other"] {
        queue.jobs.push(job(key));
        queue.lane(Lane::Large).waiting.push_back(job(key));
        queue.locked.push((Instant::now(), job(key)));
    }
    let removed = queue.remove_if(|job| job.operation.keys()[0] == Some("picked"));
    assert_eq!((removed.len(), queue.len()), (3, 3));
    assert_eq!((queue.lane(Lane::Large).waiting.len(), queue.locked.len()), (1, 1));
}

fn count() -> BoxedJob {
    let config = Config::default();
    let count = Box::new(Count::new(Scope::ALL, Epoch::now()));
    let tables = Arc::new(Tables::new(config.sessions, config.metadata, None, Duration::ZERO));
    Job::new(count, &tables, config.timeouts, Reply::callback(|_| {}))
}

#[test]
fn long_operations_and_large_reads_leave_a_thread_to_the_others() {
    for (most_threads, expected) in [(1, 1), (2, 1), (3, 2), (4, 3), (8, 7)] {
        let mut queue = Queue { threads: most_threads, ..Queue::default() };
        for n in 0..8 {
            queue.push(count());
            queue.lane(Lane::Large).waiting.push_back(job(&format!("large {n}")));
        }
        let mut lanes = Vec::new();
        while let Some(batch) = queue.take(Instant::now(), most_threads) {
            lanes.push(batch.separate.expect("a lane"));
        }
        assert_eq!(lanes.len(), expected, "of {most_threads}");
        let large = lanes.iter().filter(|lane| **lane == Lane::Large).count();
        assert!(large.max(expected - large) <= (most_threads / 2).max(1), "{lanes:?}");
    }
}

#[test]
fn a_long_operation_that_is_tried_again_is_still_one() {
    let mut queue = Queue { threads: 4, ..Queue::default() };
    queue.put_back(vec![count()]);
    let batch = queue.take(Instant::now(), 4).expect("a job");
    assert_eq!(batch.separate, Some(Lane::Long));
    queue.locked.push((Instant::now(), count()));
    let batch = queue.take(Instant::now(), 4).expect("a job");
    assert_eq!((batch.retry, batch.separate), (true, Some(Lane::Long)));
    assert_eq!(queue.serving(), 2);
}

/// Where connections are stuck, their threads do not come back, and the threshold must not add up to the
/// time that operations have.
#[test]
fn the_wait_threshold_grows_with_the_threads_that_are_awake_up_to_a_limit() {
    for (threads, connecting, threshold) in
        [(1, 0, 2), (2, 0, 10), (2, 1, 2), (3, 0, 50), (4, 0, 250), (20, 0, 250)]
    {
        let mut queue = Queue { threads, connecting, ..Queue::default() };
        let job = job("key");
        let submitted = job.submitted;
        queue.push(job);
        let late_at = submitted + Duration::from_millis(threshold);
        assert_eq!(queue.late_at(50), Some(late_at), "{threads}, {connecting}");
        let wake = |queue: &mut Queue, at| queue.wake(at, 50, |_| true);
        assert!(matches!(wake(&mut queue, late_at), Wake::Nothing));
        let later = late_at + Duration::from_millis(1);
        assert!(matches!(wake(&mut queue, later), Wake::NewThread));
        assert_eq!(queue.late_at(threads), None, "no thread could be woken");
    }
}

#[test]
fn no_thread_is_woken_that_would_get_no_connection() {
    let mut queue = Queue { threads: 1, sleeping: 1, ..Queue::default() };
    queue.push(job("key"));
    assert!(matches!(queue.wake(Instant::now(), 4, |_| false), Wake::Nothing));
    assert!(matches!(queue.wake(Instant::now(), 4, |_| true), Wake::Sleeper));
}

/// A server may refuse a second connection.
#[test]
fn a_long_operation_has_its_turn_also_where_one_thread_serves_all() {
    let mut queue = Queue { threads: 1, ..Queue::default() };
    queue.push(count());
    (0..4).for_each(|n| queue.push(job(&format!("key {n}"))));
    let now = Instant::now();
    let is_long = |batch: Option<Batch>| batch.expect("a batch").separate == Some(Lane::Long);
    assert!(!is_long(queue.take(now, 4)));
    queue.push(job("another"));
    assert!(is_long(queue.take(now + LONGEST_THRESHOLD, 4)));
}
