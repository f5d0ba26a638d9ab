//! Outcomes that wait for an event loop. The loop is woken by one byte on a socket whenever
//! the queue goes from empty to non-empty.

use super::waker::{WakeAddress, Waker};
use crate::host::lock;
use crate::op::Outcome;
use std::io;
#[cfg(feature = "capi")]
use std::io::Read;
#[cfg(feature = "capi")]
use std::os::fd::{AsRawFd, RawFd};
#[cfg(feature = "capi")]
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// The number of a submitted operation, unique within a [`CompletionQueue`].
pub type Ticket = u64;

/// Outcomes that wait for an event loop.
#[derive(Default)]
pub struct CompletionQueue(Mutex<State>);

#[derive(Default)]
struct State {
    ready: Vec<(Ticket, Outcome)>,
    next_ticket: Ticket,
    /// Shared, so that it is used without the lock, which the event loop needs as soon as it is awake.
    waker: Arc<Waker>,
}

impl CompletionQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// A ticket that this queue has not given out before.
    pub(crate) fn ticket(&self) -> Ticket {
        let mut state = lock(&self.0);
        state.next_ticket += 1;
        state.next_ticket
    }

    pub(super) fn push(&self, outcomes: impl IntoIterator<Item = (Ticket, Outcome)>) {
        let mut state = lock(&self.0);
        let was_empty = state.ready.is_empty();
        state.ready.extend(outcomes);
        if was_empty && !state.ready.is_empty() {
            let waker = Arc::clone(&state.waker);
            drop(state);
            waker.wake();
        }
    }

    /// Swaps the outcomes that are ready into `taken`, which should be empty.
    pub fn drain_into(&self, taken: &mut Vec<(Ticket, Outcome)>) {
        std::mem::swap(&mut lock(&self.0).ready, taken);
    }

    /// Wakes the event loop, as an outcome would.
    pub fn wake(&self) {
        lock(&self.0).waker.wake();
    }

    /// Opens a socket for the event loop to connect to, and returns its address.
    ///
    /// # Errors
    ///
    /// What the operating system reports: no file descriptor.
    pub fn listen(&self) -> io::Result<WakeAddress> {
        let (waker, address) = Waker::listen()?;
        lock(&self.0).waker = Arc::new(waker);
        Ok(address)
    }

    /// Takes the event loop's connection; nobody can connect after that.
    ///
    /// # Errors
    ///
    /// What the operating system reports: [`io::ErrorKind::WouldBlock`] where the event loop has not
    /// connected.
    pub fn accept(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        state.waker = Arc::new(state.waker.accept()?);
        if !state.ready.is_empty() {
            state.waker.wake();
        }
        Ok(())
    }

    /// Opens a descriptor for the event loop to poll, and not to read: it is readable from the first
    /// outcome on until [`CompletionQueue::settle`] finds none. It is closed by `close`.
    #[cfg(feature = "capi")]
    pub(crate) fn open_descriptor(&self) -> io::Result<RawFd> {
        let (ours, polled) = UnixStream::pair()?;
        polled.set_nonblocking(true)?;
        let descriptor = polled.as_raw_fd();
        lock(&self.0).waker = Arc::new(Waker::Polled(ours, polled));
        Ok(descriptor)
    }

    /// Makes the descriptor unreadable again, unless outcomes have come in the meantime.
    #[cfg(feature = "capi")]
    pub(crate) fn settle(&self) {
        let state = lock(&self.0);
        if state.ready.is_empty()
            && let Waker::Polled(_, polled) = &*state.waker
        {
            let mut polled = polled;
            while polled.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        }
    }

    /// Ends the waking: outcomes that come later wait to be drained.
    pub fn close(&self) {
        lock(&self.0).waker = Arc::default();
    }
}
