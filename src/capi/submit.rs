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

/// What every function that submits is given beside the operation.
pub(super) struct Submission {
    pub(super) storage: *const rsp_storage,
    pub(super) queue: *const rsp_queue,
    pub(super) user: *mut c_void,
    pub(super) ticket_out: *mut u64,
}

impl Submission {
    /// Hands an operation in.
    ///
    /// # Safety
    ///
    /// The handles are NULL or live; `ticket_out` is NULL or valid for writes.
    pub(super) unsafe fn of(
        self,
        operation: impl FnOnce() -> Result<Operation, Failure>,
    ) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        let storage = unsafe { pointer::borrow("storage", self.storage) }?;
        // SAFETY: the caller's promise.
        let queue = unsafe { pointer::borrow("queue", self.queue) }?;
        let ticket = queue.submit(&storage.storage, operation()?, self.user)?;
        // SAFETY: the caller's promise.
        unsafe { pointer::write_if_wanted(self.ticket_out, ticket) };
        Ok(())
    }
}

/// Submits `rsp_storage_set`.
///
/// # Arguments
///
/// `set` is as in `rsp_storage_set`, the others as in `rsp_storage_submit`.
///
/// # Errors
///
/// Those of `rsp_storage_submit`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// As in these two.
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
        let submission = Submission {
            storage,
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submission.of(operation) }
    })
}

/// Submits `rsp_storage_get`; `rsp_completion_value` has the data.
///
/// # Arguments
///
/// `key` and `now_s` are as in `rsp_storage_get`, the others as in `rsp_storage_submit`.
///
/// # Errors
///
/// Those of `rsp_storage_submit`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// As in these two.
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
        let submission = Submission {
            storage,
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submission.of(operation) }
    })
}

/// Submits `rsp_storage_delete`.
///
/// # Arguments
///
/// `key` is as in `rsp_storage_delete`, the others as in `rsp_storage_submit`.
///
/// # Errors
///
/// Those of `rsp_storage_submit`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// As in these two.
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
        let submission = Submission {
            storage,
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submission.of(operation) }
    })
}

/// Submits `rsp_storage_read_metadata`; `rsp_completion_metadata` has the sessions.
///
/// # Arguments
///
/// `audience`, `subject` and `now_s` are as in `rsp_storage_read_metadata`, the others as in
/// `rsp_storage_submit`.
///
/// # Errors
///
/// Those of `rsp_storage_submit`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// As in these two.
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
        let submission = Submission {
            storage,
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submission.of(operation) }
    })
}
