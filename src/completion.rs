//! How an outcome reaches its caller: a blocking caller is parked on its own slot; an event loop
//! gets a queue, and one byte on a socket whenever that queue goes from empty to non-empty.

use crate::Error;
use crate::op::Outcome;
use std::fs::Permissions;
use std::io;
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;
use tempfile::TempDir;

/// Names a submitted operation to its submitter; unique within a [`CompletionQueue`].
pub type Ticket = u64;

/// Where an outcome goes. Dropped without an outcome, it delivers an internal error: no caller
/// waits for ever.
pub(crate) struct Reply(Option<Destination>);

enum Destination {
    Parked(Arc<Parked>),
    Queued(Arc<CompletionQueue>, Ticket),
    /// The library itself. Called on whichever thread has the outcome, under no lock.
    Told(Box<dyn FnOnce(Outcome) + Send>),
}

impl Reply {
    pub(crate) fn parked(slot: &Arc<Parked>) -> Self {
        Reply(Some(Destination::Parked(Arc::clone(slot))))
    }

    pub(crate) fn queued(queue: &Arc<CompletionQueue>, ticket: Ticket) -> Self {
        Reply(Some(Destination::Queued(Arc::clone(queue), ticket)))
    }

    pub(crate) fn told(listener: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Reply(Some(Destination::Told(Box::new(listener))))
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
        Some(Destination::Parked(slot)) => slot.fill(outcome),
        Some(Destination::Queued(queue, ticket)) => queue.push([(ticket, outcome)]),
        Some(Destination::Told(listener)) => listener(outcome),
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

/// A blocking caller's place to wait.
#[derive(Default)]
pub(crate) struct Parked {
    outcome: Mutex<Option<Outcome>>,
    filled: Condvar,
}

impl Parked {
    fn fill(&self, outcome: Outcome) {
        *lock(&self.outcome) = Some(outcome);
        self.filled.notify_one();
    }

    /// Waits for the outcome, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let guard = lock(&self.outcome);
        let (mut guard, _) = self
            .filled
            .wait_timeout_while(guard, timeout, |outcome| outcome.is_none())
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        guard.take()
    }
}

/// Outcomes that wait for an event loop.
pub struct CompletionQueue {
    state: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    ready: Vec<(Ticket, Outcome)>,
    next_ticket: Ticket,
    waker: Waker,
}

#[derive(Default)]
enum Waker {
    /// Nobody is to be woken: the owner drains without being told to.
    #[default]
    None,
    Listening(WakeSocket),
    Connected(UnixStream),
    /// Both ends are here: the event loop polls the second and never reads from it.
    #[cfg(feature = "capi")]
    Polled(UnixStream, UnixStream),
}

impl Default for CompletionQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl CompletionQueue {
    /// An empty queue.
    pub fn new() -> Self {
        CompletionQueue {
            state: Mutex::default(),
        }
    }

    /// A ticket that this queue has not given out before.
    pub(crate) fn ticket(&self) -> Ticket {
        let mut state = lock(&self.state);
        state.next_ticket += 1;
        state.next_ticket
    }

    fn push(&self, outcomes: impl IntoIterator<Item = (Ticket, Outcome)>) {
        let mut state = lock(&self.state);
        let was_empty = state.ready.is_empty();
        state.ready.extend(outcomes);
        if was_empty && !state.ready.is_empty() {
            state.wake();
        }
    }

    /// Swaps the outcomes that are ready into `taken`, which should be empty.
    pub fn drain_into(&self, taken: &mut Vec<(Ticket, Outcome)>) {
        mem::swap(&mut lock(&self.state).ready, taken);
    }

    /// Wakes the event loop, as an outcome would.
    pub fn wake(&self) {
        lock(&self.state).wake();
    }

    /// Opens a socket for the event loop to connect to, and returns its path. Only this user may
    /// connect.
    ///
    /// # Errors
    ///
    /// What the operating system reports: no space, no permission, no file descriptor.
    pub fn listen(&self) -> io::Result<PathBuf> {
        let socket = WakeSocket::open()?;
        let path = socket.path.clone();
        lock(&self.state).waker = Waker::Listening(socket);
        Ok(path)
    }

    /// Takes the event loop's connection; the path is gone after that.
    ///
    /// # Errors
    ///
    /// What the operating system reports, [`io::ErrorKind::WouldBlock`] where nobody has connected.
    pub fn accept(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let Waker::Listening(socket) = &state.waker else {
            return Err(io::Error::other("not listening"));
        };
        let (stream, _) = socket.listener.accept()?;
        stream.set_nonblocking(true)?;
        state.waker = Waker::Connected(stream);
        if !state.ready.is_empty() {
            state.wake();
        }
        Ok(())
    }

    /// Opens a descriptor for the event loop to poll, and not to read: it is readable from the first
    /// outcome on until [`CompletionQueue::settle`] finds none. It is closed by `close`.
    #[cfg(feature = "capi")]
    pub(crate) fn open_descriptor(&self) -> io::Result<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        let (ours, polled) = UnixStream::pair()?;
        polled.set_nonblocking(true)?;
        let descriptor = polled.as_raw_fd();
        lock(&self.state).waker = Waker::Polled(ours, polled);
        Ok(descriptor)
    }

    /// Makes the descriptor unreadable again, unless outcomes have come in the meantime.
    #[cfg(feature = "capi")]
    pub(crate) fn settle(&self) {
        use std::io::Read;
        let state = lock(&self.state);
        if let Waker::Polled(_, polled) = &state.waker
            && state.ready.is_empty()
        {
            let mut polled = polled;
            while polled.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
    }

    /// Ends the waking: outcomes that come later wait until somebody drains.
    pub fn close(&self) {
        lock(&self.state).waker = Waker::None;
    }
}

impl QueueState {
    fn wake(&self) {
        let stream = match &self.waker {
            Waker::Connected(stream) => Some(stream),
            #[cfg(feature = "capi")]
            Waker::Polled(stream, _) => Some(stream),
            Waker::None | Waker::Listening(_) => None,
        };
        if let Some(stream) = stream {
            // A full socket buffer means that a wake-up is under way; a closed one, that the
            // reader has gone. Neither may raise a signal in the host.
            let socket = socket2::SockRef::from(stream);
            let _ = socket.send_with_flags(b"!", libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        }
    }
}

/// A listening socket in a folder of its own that only this user can enter.
struct WakeSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Removed, with the socket in it, when this is dropped.
    _folder: TempDir,
}

impl WakeSocket {
    fn open() -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new()
            .prefix("rsp-")
            .permissions(private)
            .tempdir()?;
        let path = folder.path().join("wake");
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        Ok(WakeSocket {
            listener,
            path,
            _folder: folder,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Output;
    use std::io::Read;

    fn connected() -> (Arc<CompletionQueue>, UnixStream) {
        let queue = Arc::new(CompletionQueue::new());
        let path = queue.listen().expect("a socket");
        let stream = UnixStream::connect(&path).expect("a connection");
        queue.accept().expect("the connection");
        assert!(!path.exists(), "nobody else can connect");
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
                .map(|&ticket| (Reply::queued(&queue, ticket), Ok(Output::Stored))),
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
        deliver([(reply, Ok(Output::Deleted))]);
        let mut stream = UnixStream::connect(path).expect("a connection");
        queue.accept().expect("the connection");
        assert_eq!(stream.read(&mut [0; 8]).expect("a byte"), 1);
    }

    #[test]
    fn a_reply_that_is_dropped_still_answers() {
        let slot = Arc::new(Parked::default());
        drop(Reply::parked(&slot));
        let outcome = slot.wait(Duration::ZERO).expect("an outcome");
        assert!(matches!(outcome, Err(Error::Internal(_))));
    }

    #[test]
    fn a_reader_that_has_gone_harms_nobody() {
        let (queue, stream) = connected();
        drop(stream);
        for _ in 0..3 {
            let reply = Reply::queued(&queue, queue.ticket());
            deliver([(reply, Ok(Output::Stored))]);
            queue.wake();
        }
        let mut taken = Vec::new();
        queue.drain_into(&mut taken);
        assert_eq!(taken.len(), 3);
    }
}
