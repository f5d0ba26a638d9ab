//! What follows for an operation after its fault.

use super::*;
use crate::Config;
use crate::completion::Reply;
use crate::db::Tables;
use crate::op::Epoch;
use crate::ops::Get;

fn job() -> Box<Job> {
    let config = Config::default();
    let tables = Tables::new(config.sessions, config.metadata, None, Duration::ZERO);
    let get = Box::new(Get::new("key", Epoch::now()).expect("a key"));
    Job::new(get, &Arc::new(tables), config.timeouts, Reply::callback(|_| {}))
}

#[test]
fn the_pauses_of_a_locked_operation_grow_up_to_a_limit() {
    let mut job = job();
    let locked = Fault::locked(Duration::from_secs(1), "locked");
    // In a batch it is not known yet whether the lock is for this one.
    let next_pause = |job: &mut Job, batched| match next(job, &locked, batched, false) {
        Next::RetryAfter(pause) => pause.as_millis(),
        _ => panic!("it is not tried again"),
    };
    assert_eq!(next_pause(&mut job, true), 0);
    let pauses = [(); 7].map(|()| next_pause(&mut job, false));
    assert_eq!(pauses, [20, 40, 80, 160, 250, 250, 250]);
    assert_eq!(job.last_error, Some(locked.error));
}

#[test]
fn an_operation_that_loses_each_connection_is_answered_after_a_few() {
    let mut job = job();
    let lost = Fault::lost(&"server".into(), "closed");
    assert!(matches!(next(&mut job, &lost, true, false), Next::RetryTogether));
    for _ in 1..MOST_LOSSES {
        assert!(matches!(next(&mut job, &lost, false, false), Next::Retry));
    }
    assert!(
        matches!(next(&mut job, &lost, false, false), Next::Answer(error) if error == lost.error)
    );
}
