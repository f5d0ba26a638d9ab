//! `rsp_queue`: where an event loop hears of the operations that it has submitted.

use super::completion::rsp_completion;
use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::{Failure, rsp_status};
use crate::completion::{CompletionQueue, Ticket};
use crate::op::{Operation, Outcome};
use crate::{Error, Storage};
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::process;
use std::sync::atomic::AtomicPtr;
use std::sync::{Arc, Mutex, MutexGuard};

/// A queue of completions. Any number of threads may submit to it and drain it at the same time.
///
/// It belongs to the process that made it: in a child of a fork its functions fail, and the child
/// makes its own.
pub struct rsp_queue {
    completions: Arc<CompletionQueue>,
    descriptor: RawFd,
    process: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The caller's pointers of the operations that are under way. Never looked into.
    users: HashMap<Ticket, AtomicPtr<c_void>>,
    /// What was ready when somebody drained, and found no room in the caller's array.
    rest: VecDeque<(Ticket, Outcome)>,
}

impl rsp_queue {
    fn new() -> Result<Self, Failure> {
        let completions = Arc::new(CompletionQueue::new());
        let descriptor = completions
            .open_descriptor()
            .map_err(|error| Failure::System("no descriptor for the queue", error))?;
        Ok(rsp_queue {
            completions,
            descriptor,
            process: process::id(),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A child shares its parent's descriptor: reading from it would take the parent's wake-ups.
    fn check_process(&self) -> Result<(), Error> {
        if self.process == process::id() {
            return Ok(());
        }
        let reason = "was made before a fork; a child makes its own";
        Err(Error::argument("queue", reason))
    }

    pub(super) fn submit(
        &self,
        storage: &Storage,
        operation: Operation,
        user: *mut c_void,
    ) -> Result<Ticket, Failure> {
        self.check_process()?;
        let ticket = self.completions.ticket();
        // Before the operation, which may be completed at any time from then on.
        self.lock().users.insert(ticket, AtomicPtr::new(user));
        let submitted = storage.submit_as(operation, &self.completions, ticket);
        if submitted.is_err() {
            self.lock().users.remove(&ticket);
        }
        submitted?;
        Ok(ticket)
    }

    /// Takes at most `most` completions, the eldest first.
    fn drain(&self, most: usize) -> Result<Vec<rsp_completion>, Failure> {
        self.check_process()?;
        let mut state = self.lock();
        if state.rest.is_empty() {
            let mut ready = Vec::new();
            self.completions.drain_into(&mut ready);
            state.rest = ready.into();
        }
        let count = most.min(state.rest.len());
        let State { users, rest } = &mut *state;
        let taken = rest
            .drain(..count)
            .map(|(ticket, outcome)| rsp_completion::new(ticket, users.remove(&ticket), outcome))
            .collect();
        if rest.is_empty() {
            self.completions.settle();
        }
        Ok(taken)
    }
}

impl Drop for rsp_queue {
    fn drop(&mut self) {
        // Operations under way keep the core's queue alive; nobody is to be woken by it. Its lock
        // may have been held at a fork: the child would wait for a thread that it does not have.
        if self.check_process().is_ok() {
            self.completions.close();
        }
    }
}

/// Makes a queue.
///
/// # Arguments
///
/// - `queue_out`: receives the queue, which the caller owns and gives to `rsp_queue_free`.
///
/// # Errors
///
/// `RSP_SYSTEM` where the process may have no more file descriptors (a queue has two),
/// `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `queue_out` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_new(queue_out: *mut *mut rsp_queue) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("queue_out", queue_out) }?;
        out.write(pointer::give(rsp_queue::new()?));
        Ok(())
    })
}

/// Returns a file descriptor for poll, epoll, select and the like: it is readable while completions
/// are ready, and until `rsp_queue_drain` has taken the last of them. With edge-triggered polling,
/// drain until none is left.
///
/// # Arguments
///
/// - `queue`: the queue.
///
/// # Returns
///
/// The descriptor, which stays the queue's: it must not be read from, written to or closed, and is
/// closed by `rsp_queue_free`. -1 where `queue` is NULL.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `queue` must be NULL or a live `rsp_queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_fd(queue: *const rsp_queue) -> c_int {
    guard(-1, || {
        // SAFETY: promised by the caller.
        let queue = unsafe { queue.as_ref() };
        queue.map_or(-1, |queue| queue.descriptor)
    })
}

/// Takes completions that are ready, in the order in which they came. Never blocks.
///
/// # Arguments
///
/// - `queue`: the queue.
/// - `completions`: an array that receives them. The caller owns each and gives it to
///   `rsp_completion_free`.
/// - `capacity`: how many the array has room for; what is beyond stays in the queue.
/// - `count_out`: receives how many were written to the array; 0 where none is ready.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT` in a child of a fork, `RSP_NULL_POINTER`. After an error no output is
/// written.
///
/// Any thread may call this at any time; each completion is given out once.
///
/// # Safety
///
/// `queue` must be NULL or a live `rsp_queue`; `completions` must be NULL or valid for writes of
/// `capacity` pointers; `count_out` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_drain(
    queue: *const rsp_queue,
    completions: *mut *mut rsp_completion,
    capacity: usize,
    count_out: *mut usize,
) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let queue = unsafe { pointer::borrow("queue", queue) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("completions", completions) }?;
        // SAFETY: promised by the caller.
        let count_out = unsafe { Out::new("count_out", count_out) }?;
        let taken = queue.drain(capacity)?;
        count_out.write(taken.len());
        // SAFETY: promised by the caller; no more than `capacity` were taken.
        unsafe { out.write_all(taken.into_iter().map(pointer::give)) };
        Ok(())
    })
}

/// Frees a queue and closes its descriptor. Completions that were not taken are dropped; operations
/// that are under way go on, and their completions are dropped when they come: the `user` pointers
/// of both are not given back.
///
/// # Arguments
///
/// - `queue`: the queue, not to be used again. May be NULL: then nothing happens.
///
/// Not thread-safe: no other thread may use `queue` meanwhile.
///
/// # Safety
///
/// `queue` must be NULL or come from `rsp_queue_new`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_free(queue: *mut rsp_queue) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(queue) }
    })
}
