//! `rsp_queue`: how an event loop learns of the operations that it has submitted.

use super::completion::{Requested, rsp_completion};
use super::guard::{guard, guard_status};
use super::pointer::{Message, required};
use super::status::{Failure, rsp_status};
use crate::completion::{CompletionQueue, Ticket};
use crate::host::lock;
use crate::op::{AnyOperation, Outcome};
use crate::{Error, Storage};
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::process;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

/// Receives the completions of submitted operations, of any number of storages.
pub struct rsp_queue {
    completions: Arc<CompletionQueue>,
    descriptor: RawFd,
    process: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Of the operations that are under way.
    requested: HashMap<Ticket, Requested>,
    /// Outcomes that were ready when the caller's array had no room left.
    rest: VecDeque<(Ticket, Outcome)>,
}

impl rsp_queue {
    fn new() -> Result<Self, Failure> {
        let completions = Arc::new(CompletionQueue::new());
        let descriptor = completions
            .open_descriptor()
            .map_err(|error| Failure::System("no descriptor for the queue", error))?;
        Ok(rsp_queue { completions, descriptor, process: process::id(), state: Mutex::default() })
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
        operation: Box<dyn AnyOperation>,
        requested: Requested,
    ) -> Result<Ticket, Failure> {
        self.check_process()?;
        // Noted before: the operation may be completed at once. Not under the lock while it is submitted,
        // which may call the host's log function.
        let ticket = self.completions.ticket();
        lock(&self.state).requested.insert(ticket, requested);
        storage.submit_any(operation, &self.completions, ticket).inspect_err(|_| {
            lock(&self.state).requested.remove(&ticket);
        })?;
        Ok(ticket)
    }

    /// Takes at most `most` completions, the oldest first.
    fn drain(&self, most: usize) -> Result<Vec<*mut rsp_completion>, Failure> {
        self.check_process()?;
        let mut state = lock(&self.state);
        if state.rest.is_empty() {
            let mut ready = Vec::new();
            self.completions.drain_into(&mut ready);
            state.rest = ready.into();
        }
        let State { requested, rest } = &mut *state;
        let taken = rest.drain(..most.min(rest.len()));
        let completion = |(ticket, outcome)| {
            let unknown = Requested { user: ptr::null_mut(), limit: None };
            let requested = requested.remove(&ticket).unwrap_or(unknown);
            Box::into_raw(Box::new(rsp_completion::new(ticket, requested, outcome)))
        };
        let taken = taken.map(completion).collect();
        if rest.is_empty() {
            self.completions.settle();
        }
        Ok(taken)
    }
}

impl Drop for rsp_queue {
    fn drop(&mut self) {
        // Operations under way keep the core's queue alive, which must wake no event loop any more.
        // In a child, its lock may have been held at the fork by a thread that the child lacks.
        if self.check_process().is_ok() {
            self.completions.close();
        }
    }
}

/// Makes a queue.
///
/// Errors: RSP_SYSTEM if no file descriptor is left.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_new(
    queue_out: Option<&mut MaybeUninit<*mut rsp_queue>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let out = required("queue_out", queue_out)?;
        out.write(Box::into_raw(Box::new(rsp_queue::new()?)));
        Ok(())
    })
}

/// Returns a file descriptor for poll, epoll and the like. It is readable while completions are ready.
/// It must not be read from or closed. It is closed when the queue is freed. -1 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_queue_fd(queue: Option<&rsp_queue>) -> c_int {
    guard(-1, || queue.map_or(-1, |queue| queue.descriptor))
}

/// Takes completions that are ready, the oldest first. It does not block.
///
/// completions: an array of capacity pointers, which receives the completions. count_out: receives
/// their number, possibly 0. The descriptor stays readable if some are left.
///
/// Errors: RSP_INVALID_ARGUMENT for a queue that was made before a fork.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_queue_drain(
    queue: Option<&rsp_queue>,
    completions: *mut *mut rsp_completion,
    capacity: usize,
    count_out: Option<&mut MaybeUninit<usize>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let queue = required("queue", queue)?;
        let places = required("completions", NonNull::new(completions))?;
        let count_out = required("count_out", count_out)?;
        let taken = queue.drain(capacity)?;
        count_out.write(taken.len());
        // SAFETY: the conventions: there is room for as many as were taken at most.
        unsafe { ptr::copy_nonoverlapping(taken.as_ptr(), places.as_ptr(), taken.len()) };
        Ok(())
    })
}

/// Frees a queue. Operations under way go on, and their completions are dropped.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_queue_free(queue: Option<Box<rsp_queue>>) {
    guard((), || drop(queue));
}
