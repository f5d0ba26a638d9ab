//! Panics in the engine's threads: each test has a callback panic on the thread that delivers its outcome.

use super::*;
use crate::op::Epoch;
use crate::ops::Get;
use crate::pool::tests::one_at_a_time;
use std::sync::mpsc;

/// Far less than the time after which the clock would answer in a worker's place.
const LONG: Duration = Duration::from_secs(2);

fn engine(config: &Config) -> Arc<Engine> {
    Engine::new(config, &Ok(Files::default()), &None, || {}).expect("an engine")
}

fn submit(engine: &Arc<Engine>, config: &Config, reply: Reply) {
    let (sessions, metadata) = (config.sessions.clone(), config.metadata.clone());
    let tables = Arc::new(Tables::new(sessions, metadata, None, Duration::ZERO));
    let get = Box::new(Get::new("key", Epoch::now()).expect("a key"));
    let job = Job::new(get, &tables, config.timeouts, reply);
    engine.submit(job).expect("room");
}

/// Has the thread panic that answers an operation, and returns when it did.
fn have_it_panic(engine: &Arc<Engine>, config: &Config) {
    let (unwound, wait) = mpsc::channel::<()>();
    let reply = Reply::callback(move |_| {
        let _unwound = unwound;
        panic!("as planned");
    });
    submit(engine, config, reply);
    assert_eq!(wait.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}

fn outcome_of_another(engine: &Arc<Engine>, config: &Config) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let reply = Reply::callback(move |outcome| sender.send(outcome).expect("a receiver"));
    submit(engine, config, reply);
    receiver.recv_timeout(LONG).expect("an answer")
}

/// An engine answers after each panic, and stops with all of its threads.
fn survives(config: &Config, expected: fn(&Outcome) -> bool) {
    let _guard = one_at_a_time();
    let engine = engine(config);
    for _ in 0..3 {
        have_it_panic(&engine, config);
        let outcome = outcome_of_another(&engine, config);
        assert!(expected(&outcome), "{outcome:?}");
    }
    engine.stop(LONG);
    let queue = engine.lock();
    assert_eq!((queue.threads, queue.connecting), (0, 0));
}

#[test]
fn a_worker_that_panics_is_replaced() {
    let mut config = Config::default();
    // No server to ask: a worker says so at once.
    config.connection.servers.clear();
    survives(&config, |outcome| matches!(outcome, Err(Error::Refused { .. })));
}

#[test]
fn a_clock_that_panics_is_replaced() {
    let mut config = Config::default();
    // No server listens there.
    config.connection.servers[0].port = 1;
    config.timeouts.connect = Duration::from_millis(50);
    survives(&config, |outcome| matches!(outcome, Err(Error::NoConnection { .. })));
}
