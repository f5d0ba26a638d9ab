//! Which jobs a thread takes next, and which thread is woken for them.

use super::*;
use crate::Config;
use crate::op::Epoch;
use crate::ops::Get;

fn job(key: &str) -> BoxedJob {
    let config = Config::default();
    let tables = Arc::new(Tables::new(config.sessions, config.metadata, None));
    let get = Box::new(Get::new(key, Epoch::now()).expect("a key"));
    Job::new(get, &tables, config.timeouts, Reply::callback(|_| {}))
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
