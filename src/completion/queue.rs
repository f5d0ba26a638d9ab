//! Outcomes that wait for an event loop. The loop is woken by one byte on a socket whenever
//! the queue goes from empty to non-empty.

use super::lock;
use super::waker::Waker;
use crate::op::Outcome;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Mutex;

/// The number of a submitted operation, unique within a [`CompletionQueue`].
pub type Ticket = u64;

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

    pub(super) fn push(&self, outcomes: impl IntoIterator<Item = (Ticket, Outcome)>) {
        let mut state = lock(&self.state);
        let was_empty = state.ready.is_empty();
        state.ready.extend(outcomes);
        if was_empty && !state.ready.is_empty() {
            state.waker.wake();
        }
    }

    /// Swaps the outcomes that are ready into `taken`, which should be empty.
    pub fn drain_into(&self, taken: &mut Vec<(Ticket, Outcome)>) {
        mem::swap(&mut lock(&self.state).ready, taken);
    }

    /// Wakes the event loop, as an outcome would.
    pub fn wake(&self) {
        lock(&self.state).waker.wake();
    }

    /// Opens a socket for the event loop to connect to, and returns its path. Only this user may
    /// connect.
    ///
    /// # Errors
    ///
    /// What the operating system reports: no space, no permission, no file descriptor.
    pub fn listen(&self) -> io::Result<PathBuf> {
        let (waker, path) = Waker::listening()?;
        lock(&self.state).waker = waker;
        Ok(path)
    }

    /// Takes the event loop's connection; the path is gone after that.
    ///
    /// # Errors
    ///
    /// What the operating system reports, [`io::ErrorKind::WouldBlock`] where the event loop has not connected.
    pub fn accept(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.waker = state.waker.accept()?;
        if !state.ready.is_empty() {
            state.waker.wake();
        }
        Ok(())
    }

    /// Opens a descriptor for the event loop to poll, and not to read: it is readable from the first
    /// outcome on until [`CompletionQueue::settle`] finds none. It is closed by `close`.
    #[cfg(feature = "capi")]
    pub(crate) fn open_descriptor(&self) -> io::Result<std::os::fd::RawFd> {
        let (waker, descriptor) = Waker::polled()?;
        lock(&self.state).waker = waker;
        Ok(descriptor)
    }

    /// Makes the descriptor unreadable again, unless outcomes have come in the meantime.
    #[cfg(feature = "capi")]
    pub(crate) fn settle(&self) {
        let state = lock(&self.state);
        if state.ready.is_empty() {
            state.waker.settle();
        }
    }

    /// Ends the waking: outcomes that come later wait to be drained.
    pub fn close(&self) {
        lock(&self.state).waker = Waker::None;
    }
}
