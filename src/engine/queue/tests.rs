//! Which jobs a thread takes next, and which thread is woken for them.

use super::*;
use crate::Config;
use crate::op::Epoch;
use crate::ops::Get;

fn job_on(tables: &Arc<Tables>, key: &str) -> BoxedJob {
    let get = Box::new(Get::new(key, Epoch::now()).expect("a key"));
    Job::new(get, tables, Config::default().timeouts, Reply::callback(|_| {}))
}

fn job(key: &str) -> BoxedJob {
    let config = Config::default();
    job_on(&Arc::new(Tables::new(config.sessions, config.metadata, None)), key)
}

/// So many threads are awake; each takes a batch. Which of them are separate.
fn taken(queue: &mut Queue, threads: usize, most_threads: usize) -> Vec<bool> {
    queue.threads = threads;
    let take = |_| queue.take(Instant::now(), most_threads).map(|batch| batch.separate);
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
        (0..3).for_each(|n| queue.separate.push_back(job(&format!("large {n}"))));
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
        queue.separate.push_back(job(&format!("large {n}")));
        queue.locked.push((now, job(&format!("locked {n}"))));
    }
    let kinds: Vec<_> = std::iter::from_fn(|| {
        let batch = queue.take(now, 1)?;
        (queue.trying, queue.running_separate) = (false, 0);
        if queue.jobs.len() == 0 && !queue.separate.is_empty() {
            queue.jobs.push(job(&format!("small {}", queue.separate.len())));
        }
        Some((batch.retry, batch.separate))
    })
    .collect();
    let (locked, separate, fresh) = ((true, false), (false, true), (false, false));
    assert_eq!(kinds, [locked, separate, fresh, locked, separate, fresh]);
}

#[test]
fn a_separate_job_wakes_a_thread_of_its_own() {
    let mut queue = Queue { threads: 1, ..Queue::default() };
    queue.separate.push_back(job("large"));
    queue.jobs.push(job("small"));
    let wake = |queue: &mut Queue| queue.wake(Instant::now(), 4);
    // One serves the others.
    assert!(matches!(wake(&mut queue), Wake::NewThread));
    assert!(matches!(wake(&mut queue), Wake::Nothing));
    // It is taken, and its thread does not count as one that serves.
    let batch = queue.take(Instant::now(), 4).expect("a job");
    assert!(batch.separate && queue.serving() == 1);
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
    let tables = Arc::new(Tables::new(config.sessions, config.metadata, None));
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

#[test]
fn only_the_jobs_that_are_picked_are_removed() {
    let mut queue = Queue::default();
    for key in ["picked", "other"] {
        queue.jobs.push(job(key));
        queue.separate.push_back(job(key));
        queue.locked.push((Instant::now(), job(key)));
    }
    let removed = queue.remove_if(|job| job.operation.keys()[0] == Some("picked"));
    assert_eq!((removed.len(), queue.len()), (3, 3));
    assert_eq!((queue.separate.len(), queue.locked.len()), (1, 1));
}
