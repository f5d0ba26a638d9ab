//! What becomes of the engine's threads when something panics in them. A listener that panics is
//! called on the thread that has its outcome.

use super::*;
use crate::completion::Reply;
use crate::op::{Epoch, Get, Operation, Outcome};
use crate::pool::tests::alone;
use crate::sql::Tables;
use crate::tls::Files;
use std::sync::mpsc;

/// Far less than the time after which the clock would answer in a worker's place.
const PATIENCE: Duration = Duration::from_secs(2);

fn engine(config: &Config) -> Engine {
    let tls = Tls::new(config.connection.tls.clone(), false, Ok(Files::default()));
    Engine::new(config, tls, None).expect("an engine")
}

fn submit(engine: &Engine, config: &Config, reply: Reply) {
    let tables = Tables::new(config.sessions.clone(), config.metadata.clone());
    let target = Target::new(Arc::new(tables), config.timeouts);
    let key = "key".to_owned();
    let get = Operation::Get(Get {
        key,
        now: Epoch::now(),
    });
    let job = Job::new(get, Arc::new(target), reply);
    engine.submit(job).expect("room");
}

/// Has the thread panic that answers an operation, and returns when it did.
fn have_it_panic(engine: &Engine, config: &Config) {
    let (unwound, wait) = mpsc::channel::<()>();
    let reply = Reply::told(move |_| {
        let _unwound = unwound;
        panic!("as planned");
    });
    submit(engine, config, reply);
    assert_eq!(
        wait.recv_timeout(PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

fn outcome_of_another(engine: &Engine, config: &Config) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let reply = Reply::told(move |outcome| sender.send(outcome).expect("a receiver"));
    submit(engine, config, reply);
    receiver.recv_timeout(PATIENCE).expect("an answer")
}

#[test]
fn a_worker_that_panics_is_replaced() {
    let _alone = alone();
    let mut config = Config::default();
    // Nobody to ask: a worker says so at once.
    config.connection.servers.clear();
    let engine = engine(&config);
    for _ in 0..3 {
        have_it_panic(&engine, &config);
        let outcome = outcome_of_another(&engine, &config);
        assert!(matches!(outcome, Err(Error::Refused { .. })), "{outcome:?}");
    }
    engine.stop(PATIENCE);
    let queue = engine.0.lock();
    assert_eq!((queue.threads, queue.connecting), (0, 0));
}

#[test]
fn a_clock_that_panics_is_replaced() {
    let _alone = alone();
    let mut config = Config::default();
    // Nobody listens there.
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
    engine.stop(PATIENCE);
}
