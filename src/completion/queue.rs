//! Outcomes that wait for an event loop. The loop is woken by one byte on a socket whenever
//! the queue goes from empty to non-empty.

use super::waker::Waker;
use crate::host::lock;
use crate::op::Outcome;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

/// The number of a submitted operation, unique within a [`CompletionQueue`].
pub type Ticket = u64;

/// Outcomes that wait for an event loop.
#[derive(Default)]
pub struct CompletionQueue(Mutex<State>);

#[derive(Default)]
struct State {
    ready: Vec<(Ticket, Outcome)>,
    next_ticket: Ticket,
    waker: Waker,
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
            state.waker.wake();
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

    /// Opens a socket for the event loop to connect to, and returns its path. Only this user may
    /// connect.
    ///
    /// # Errors
    ///
    /// What the operating system reports: no space, no permission, no file descriptor.
    pub fn listen(&self) -> io::Result<PathBuf> {
        let (waker, path) = Waker::listening()?;
        lock(&self.0).waker = waker;
        Ok(path)
    }

    /// Takes the event loop's connection; the path is gone after that.
    ///
    /// # Errors
    ///
    /// What the operating system reports: [`io::ErrorKind::WouldBlock`] where the event loop has not
    /// connected.
    pub fn accept(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
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
        lock(&self.0).waker = waker;
        Ok(descriptor)
    }

    /// Makes the descriptor unreadable again, unless outcomes have come in the meantime.
    #[cfg(feature = "capi")]
    pub(crate) fn settle(&self) {
        let state = lock(&self.0);
        if state.ready.is_empty() {
            state.waker.settle();
        }
    }

    /// Ends the waking: outcomes that come later wait to be drained.
    pub fn close(&self) {
        lock(&self.0).waker = Waker::None;
    }
}
