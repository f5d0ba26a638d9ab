//! The four operations for event loops: each returns at once, and its outcome comes to a queue.

use super::guard::guard_status;
use super::operation;
use super::pointer::{self, Message};
use super::queue::rsp_queue;
use super::set::{self, rsp_set};
use super::status::{Failure, rsp_status};
use super::storage::rsp_storage;
use crate::op::Operation;
use std::ffi::{c_char, c_void};

/// Where an outcome goes, and what comes with it.
pub(super) struct Destination {
    pub(super) queue: *const rsp_queue,
    pub(super) user: *mut c_void,
    pub(super) ticket_out: *mut u64,
}

/// Hands an operation in.
///
/// # Safety
///
/// The pointers are NULL or live handles, or valid for writes.
pub(super) unsafe fn submit(
    storage: *const rsp_storage,
    to: Destination,
    operation: impl FnOnce() -> Result<Operation, Failure>,
) -> Result<(), Failure> {
    // SAFETY: the caller's promise.
    let storage = unsafe { pointer::borrow("storage", storage) }?;
    // SAFETY: the caller's promise.
    let queue = unsafe { pointer::borrow("queue", to.queue) }?;
    let ticket = queue.submit(&storage.storage, operation()?, to.user)?;
    // SAFETY: the caller's promise.
    unsafe { pointer::write_if_wanted(to.ticket_out, ticket) };
    Ok(())
}

/// Submits `rsp_storage_set`.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `set`: what is saved; see `rsp_set`. Everything is copied before the call returns.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
/// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` and `queue` must be NULL or live handles; `set` must be NULL or prepared by
/// `rsp_set_init`, with texts and pairs that are NULL or valid for reads of their lengths;
/// `ticket_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit_set(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    set: *const rsp_set,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe { set::operation(set) };
        let to = Destination {
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submit(storage, to, operation) }
    })
}

/// Submits `rsp_storage_get`; `rsp_completion_value` has the data.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end. It is
///   copied before the call returns.
/// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
/// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` and `queue` must be NULL or live handles; `key` must be NULL or valid for reads of
/// `key_len` bytes;
/// `ticket_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit_get(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    key: *const c_char,
    key_len: usize,
    now_s: i64,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe { operation::get(key, key_len, now_s) };
        let to = Destination {
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submit(storage, to, operation) }
    })
}

/// Submits `rsp_storage_delete`.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end. It is
///   copied before the call returns.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
/// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` and `queue` must be NULL or live handles; `key` must be NULL or valid for reads of
/// `key_len` bytes;
/// `ticket_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit_delete(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    key: *const c_char,
    key_len: usize,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe { operation::delete(key, key_len) };
        let to = Destination {
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submit(storage, to, operation) }
    })
}

/// Submits `rsp_storage_read_metadata`; `rsp_completion_metadata` has the sessions.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `audience`, `audience_len`, `subject`, `subject_len`: what the sessions were saved under, and
///   the lengths in bytes; no NUL is needed at their ends. They are copied before the call returns.
/// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
/// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` and `queue` must be NULL or live handles; `audience` and `subject` must be NULL or valid
/// for reads of their lengths;
/// `ticket_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit_read_metadata(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    audience: *const c_char,
    audience_len: usize,
    subject: *const c_char,
    subject_len: usize,
    now_s: i64,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe {
            operation::read_metadata(audience, audience_len, subject, subject_len, now_s)
        };
        let to = Destination {
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submit(storage, to, operation) }
    })
}
