//! `rsp_completion`: what became of a submitted operation.

use super::bytes::rsp_bytes;
use super::guard::{guard, guard_status};
use super::metadata::rsp_metadata;
use super::operation::Results;
use super::pointer::{self, Message};
use super::status::{Failure, rsp_status};
use crate::Error;
use crate::completion::Ticket;
use crate::op::Outcome;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What became of a submitted operation. It never changes, so any number of threads may read it at
/// the same time.
pub struct rsp_completion {
    ticket: Ticket,
    user: AtomicPtr<c_void>,
    results: Result<Results, Error>,
}

impl rsp_completion {
    pub(super) fn new(ticket: Ticket, user: Option<AtomicPtr<c_void>>, outcome: Outcome) -> Self {
        rsp_completion {
            ticket,
            user: user.unwrap_or_default(),
            results: outcome.map(Results::from),
        }
    }
}

/// Returns the pointer that the operation was submitted with.
///
/// # Arguments
///
/// - `completion`: the completion. May be NULL, whose pointer is NULL.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_user(completion: *const rsp_completion) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: promised by the caller.
        let completion = unsafe { completion.as_ref() };
        completion.map_or(ptr::null_mut(), |completion| {
            completion.user.load(Ordering::Relaxed)
        })
    })
}

/// Returns the ticket that the operation was submitted under.
///
/// # Arguments
///
/// - `completion`: the completion. May be NULL, whose ticket is 0, which no operation has.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_ticket(completion: *const rsp_completion) -> u64 {
    guard(0, || {
        // SAFETY: promised by the caller.
        let completion = unsafe { completion.as_ref() };
        completion.map_or(0, |completion| completion.ticket)
    })
}

/// Returns what became of the operation, as the blocking function would.
///
/// # Arguments
///
/// - `completion`: the completion.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Those of the operation; `RSP_NULL_POINTER` where `completion` is NULL.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`; `message` must be NULL or valid for writes
/// of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_status(
    completion: *const rsp_completion,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let completion = unsafe { pointer::borrow("completion", completion) }?;
        match &completion.results {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::Core(error.clone())),
        }
    })
}

/// Returns the data that a get has found, or the text of an operation that answers one; see
/// `rsp_operation`.
///
/// # Arguments
///
/// - `completion`: the completion. May be NULL.
///
/// # Returns
///
/// The data, which belongs to the completion: it is valid until that is freed, and must not be freed
/// itself. NULL where there is no such session, after a failure, and for operations without a text.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_value(
    completion: *const rsp_completion,
) -> *const rsp_bytes {
    guard(ptr::null(), || {
        // SAFETY: promised by the caller.
        let completion = unsafe { completion.as_ref() };
        let results = completion.and_then(|completion| completion.results.as_ref().ok());
        let value = results.and_then(|results| results.value.as_ref());
        value.map_or(ptr::null(), ptr::from_ref)
    })
}

/// Returns the sessions that a read_metadata or an `RSP_LIST` has found.
///
/// # Arguments
///
/// - `completion`: the completion. May be NULL.
///
/// # Returns
///
/// The sessions, which belong to the completion: they are valid until that is freed, and must not be
/// freed themselves. NULL after a failure and for other operations.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_metadata(
    completion: *const rsp_completion,
) -> *const rsp_metadata {
    guard(ptr::null(), || {
        // SAFETY: promised by the caller.
        let completion = unsafe { completion.as_ref() };
        let results = completion.and_then(|completion| completion.results.as_ref().ok());
        let metadata = results.and_then(|results| results.metadata.as_ref());
        metadata.map_or(ptr::null(), ptr::from_ref)
    })
}

/// Returns the number that an operation has answered; see `rsp_operation`.
///
/// # Arguments
///
/// - `completion`: the completion. May be NULL.
///
/// # Returns
///
/// The number; 0 after a failure and for operations that answer none.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `completion` must be NULL or a live `rsp_completion`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_count(completion: *const rsp_completion) -> u64 {
    guard(0, || {
        // SAFETY: promised by the caller.
        let completion = unsafe { completion.as_ref() };
        let results = completion.and_then(|completion| completion.results.as_ref().ok());
        results.map_or(0, |results| results.count)
    })
}

/// Frees a completion with its results.
///
/// # Arguments
///
/// - `completion`: the completion, not to be used again. May be NULL: then nothing happens. The
///   queue may be freed before.
///
/// Not thread-safe: no other thread may use `completion` meanwhile.
///
/// # Safety
///
/// `completion` must be NULL or come from `rsp_queue_drain` or `rsp_storage_call`, and not be freed
/// already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_free(completion: *mut rsp_completion) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(completion) }
    })
}
