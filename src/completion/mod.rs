//! How an outcome reaches its caller: a blocking caller waits at a slot of its own, an event loop has a
//! queue.

mod queue;
mod slot;
mod waker;

pub use queue::{CompletionQueue, Ticket};
pub(crate) use slot::Slot;

use crate::Error;
use crate::op::Outcome;
use std::sync::{Arc, Mutex, MutexGuard};

/// Where an outcome goes. Dropped without an outcome, it delivers an internal error, so that each caller
/// gets an answer.
pub(crate) struct Reply(Option<Destination>);

enum Destination {
    Slot(Arc<Slot>),
    Queued(Arc<CompletionQueue>, Ticket),
    /// A function of the library's own, called on the thread that has the outcome, under no lock.
    Callback(Box<dyn FnOnce(Outcome) + Send>),
}

impl Reply {
    pub(crate) fn slot(slot: &Arc<Slot>) -> Self {
        Reply(Some(Destination::Slot(Arc::clone(slot))))
    }

    pub(crate) fn queued(queue: &Arc<CompletionQueue>, ticket: Ticket) -> Self {
        Reply(Some(Destination::Queued(Arc::clone(queue), ticket)))
    }

    pub(crate) fn callback(callback: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Reply(Some(Destination::Callback(Box::new(callback))))
    }

    /// Gives up the reply of an operation that was not accepted.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.0.is_some() {
            let outcome = Err(Error::internal("the operation was dropped"));
            deliver_to(self.0.take(), outcome);
        }
    }
}

fn deliver_to(destination: Option<Destination>, outcome: Outcome) {
    match destination {
        Some(Destination::Slot(slot)) => slot.fill(outcome),
        Some(Destination::Queued(queue, ticket)) => queue.push([(ticket, outcome)]),
        Some(Destination::Callback(callback)) => callback(outcome),
        None => {}
    }
}

/// Delivers many outcomes, with one lock and at most one wake-up for each run of them that goes to
/// one queue.
pub(crate) fn deliver(outcomes: impl IntoIterator<Item = (Reply, Outcome)>) {
    let mut run: Vec<(Ticket, Outcome)> = Vec::new();
    let mut run_queue: Option<Arc<CompletionQueue>> = None;
    for (mut reply, outcome) in outcomes {
        match reply.0.take() {
            Some(Destination::Queued(queue, ticket)) => {
                if run_queue
                    .as_ref()
                    .is_some_and(|last| !Arc::ptr_eq(last, &queue))
                    && let Some(last) = run_queue.take()
                {
                    last.push(run.drain(..));
                }
                run.push((ticket, outcome));
                run_queue.get_or_insert(queue);
            }
            other => deliver_to(other, outcome),
        }
    }
    if let Some(queue) = run_queue {
        queue.push(run);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Answer;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn connected() -> (Arc<CompletionQueue>, UnixStream) {
        let queue = Arc::new(CompletionQueue::new());
        let path = queue.listen().expect("a socket");
        let stream = UnixStream::connect(&path).expect("a connection");
        queue.accept().expect("the connection");
        assert!(!path.exists(), "no other process can connect");
        stream.set_nonblocking(true).expect("a socket option");
        (queue, stream)
    }

    #[test]
    fn many_outcomes_cost_one_wake_up() {
        let (queue, mut stream) = connected();
        let tickets: Vec<Ticket> = (0..100).map(|_| queue.ticket()).collect();
        deliver(
            tickets
                .iter()
                .map(|&ticket| (Reply::queued(&queue, ticket), Ok(Answer::Done))),
        );
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes).expect("one byte"), 1);
        let mut taken = Vec::new();
        queue.drain_into(&mut taken);
        assert_eq!(taken.len(), 100);
        assert!(taken.iter().map(|(ticket, _)| ticket).eq(&tickets));
        assert!(stream.read(&mut bytes).is_err(), "no further byte");
    }

    #[test]
    fn outcomes_from_before_the_connection_wake_it() {
        let queue = Arc::new(CompletionQueue::new());
        let path = queue.listen().expect("a socket");
        let reply = Reply::queued(&queue, queue.ticket());
        deliver([(reply, Ok(Answer::Done))]);
        let mut stream = UnixStream::connect(path).expect("a connection");
        queue.accept().expect("the connection");
        assert_eq!(stream.read(&mut [0; 8]).expect("a byte"), 1);
    }

    #[test]
    fn a_reply_that_is_dropped_still_answers() {
        let slot = Arc::new(Slot::default());
        drop(Reply::slot(&slot));
        let outcome = slot.wait(Duration::ZERO).expect("an outcome");
        assert!(matches!(outcome, Err(Error::Internal(_))));
    }

    #[test]
    fn a_reader_that_has_closed_does_no_harm() {
        let (queue, stream) = connected();
        drop(stream);
        for _ in 0..3 {
            let reply = Reply::queued(&queue, queue.ticket());
            deliver([(reply, Ok(Answer::Done))]);
            queue.wake();
        }
        let mut taken = Vec::new();
        queue.drain_into(&mut taken);
        assert_eq!(taken.len(), 3);
    }
}
