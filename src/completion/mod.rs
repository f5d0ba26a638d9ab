//! How an outcome reaches its caller: an event loop has a queue; a blocking caller, and the engine
//! itself, a function.

mod queue;
mod waker;

pub use queue::{CompletionQueue, Ticket};
pub use waker::WakeAddress;

use crate::Error;
use crate::op::Outcome;
use std::sync::Arc;

/// Where an outcome goes. Dropped without an outcome, it delivers an internal error, so that each caller
/// gets an answer.
pub(crate) struct Reply(Option<Destination>);

enum Destination {
    Queued(Arc<CompletionQueue>, Ticket),
    /// A function of the library's own, called on the thread that has the outcome, under no lock.
    Callback(Box<dyn FnOnce(Outcome) + Send>),
}

impl Destination {
    fn deliver(self, outcome: Outcome) {
        match self {
            Destination::Queued(queue, ticket) => queue.push([(ticket, outcome)]),
            Destination::Callback(callback) => callback(outcome),
        }
    }
}

impl Reply {
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
        if let Some(destination) = self.0.take() {
            destination.deliver(Err(Error::internal("the operation was dropped")));
        }
    }
}

/// Delivers many outcomes, with one lock and at most one wake-up for each run of them that goes to
/// one queue.
pub(crate) fn deliver(outcomes: impl IntoIterator<Item = (Reply, Outcome)>) {
    let mut run: Option<(Arc<CompletionQueue>, Vec<_>)> = None;
    for (mut reply, outcome) in outcomes {
        match (reply.0.take(), &mut run) {
            (Some(Destination::Queued(queue, ticket)), Some((last, ready)))
                if Arc::ptr_eq(last, &queue) =>
            {
                ready.push((ticket, outcome));
            }
            (Some(Destination::Queued(queue, ticket)), _) => {
                if let Some((last, ready)) = run.replace((queue, vec![(ticket, outcome)])) {
                    last.push(ready);
                }
            }
            (Some(callback), _) => callback.deliver(outcome),
            (None, _) => {}
        }
    }
    if let Some((last, ready)) = run {
        last.push(ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Answer;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc;

    fn connected() -> (Arc<CompletionQueue>, UnixStream) {
        let queue = Arc::new(CompletionQueue::new());
        let WakeAddress::Unix(path) = queue.listen().expect("a socket") else {
            panic!("no folder for a socket");
        };
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
        deliver(tickets.iter().map(|&ticket| (Reply::queued(&queue, ticket), Ok(Answer::Done))));
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
        let WakeAddress::Unix(path) = queue.listen().expect("a socket") else {
            panic!("no folder for a socket");
        };
        let reply = Reply::queued(&queue, queue.ticket());
        deliver([(reply, Ok(Answer::Done))]);
        let mut stream = UnixStream::connect(path).expect("a connection");
        queue.accept().expect("the connection");
        assert_eq!(stream.read(&mut [0; 8]).expect("a byte"), 1);
    }

    #[test]
    fn a_reply_that_is_dropped_still_answers() {
        let (sender, receiver) = mpsc::channel();
        let reply = Reply::callback(move |outcome| sender.send(outcome).expect("a receiver"));
        drop(reply);
        let outcome = receiver.try_recv().expect("an outcome");
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
