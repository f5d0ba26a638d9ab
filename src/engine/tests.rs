//! Panics in the engine's threads: each test has a callback panic on the thread that delivers its outcome.

use super::*;
use crate::completion::Reply;
use crate::op::{Epoch, Outcome};
use crate::ops::Get;
use crate::pool::tests::one_at_a_time;
use crate::tls::Files;
use std::sync::mpsc;

/// Far less than the time after which the clock would answer in a worker's place.
const LONG: Duration = Duration::from_secs(2);

fn engine(config: &Config) -> Engine {
    let tls = Tls::new(config.connection.tls.clone(), false, Ok(Files::default()));
    Engine::new(config, tls, None).expect("an engine")
}

fn submit(engine: &Engine, config: &Config, reply: Reply) {
    let (sessions, metadata) = (config.sessions.clone(), config.metadata.clone());
    let tables = Arc::new(Tables::new(sessions, metadata, None));
    let get = Box::new(Get::new("key", Epoch::now()).expect("a key"));
    let job = Job::new(get, &tables, config.timeouts, reply);
    engine.submit(job).expect("room");
}

/// Has the thread panic that answers an operation, and returns when it did.
fn have_it_panic(engine: &Engine, config: &Config) {
    let (unwound, wait) = mpsc::channel::<()>();
    let reply = Reply::callback(move |_| {
        let _unwound = unwound;
        panic!("as planned");
    });
    submit(engine, config, reply);
    assert_eq!(
        wait.recv_timeout(LONG),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

fn outcome_of_another(engine: &Engine, config: &Config) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let reply = Reply::callback(move |outcome| sender.send(outcome).expect("a receiver"));
    submit(engine, config, reply);
    receiver.recv_timeout(LONG).expect("an answer")
}

#[test]
fn a_worker_that_panics_is_replaced() {
    let _guard = one_at_a_time();
    let mut config = Config::default();
    // No server to ask: a worker says so at once.
    config.connection.servers.clear();
    let engine = engine(&config);
    for _ in 0..3 {
        have_it_panic(&engine, &config);
        let outcome = outcome_of_another(&engine, &config);
        assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
    }
    engine.stop(LONG);
    let queue = engine.0.lock();
    assert_eq!((queue.threads, queue.connecting), (0, 0));
}

#[test]
fn a_clock_that_panics_is_replaced() {
    let _guard = one_at_a_time();
    let mut config = Config::default();
    // No server listens there.
    config.connection.servers[0].port = 1;
    config.timeouts.connect = Duration::from_millis(50);
    let engine = engine(&config);
    for _ in 0..3 {
        have_it_panic(&engine, &config);
        let outcome = outcome_of_another(&engine, &config);
        assert!(
            matches!(outcome, Err(Error::NoConnection { .. })),
            "{outcome:?}"
        );
    }
    engine.stop(LONG);
}
