//! `rsp_storage_call` and `rsp_storage_submit`: carry a request out, blocking or for an event loop.

use super::completion::rsp_completion;
use super::fields::Fields;
use super::growing;
use super::guard::guard_status;
use super::pointer::{self, Message, Out};
use super::queue::rsp_queue;
use super::request::{self, rsp_request};
use super::status::{Failure, rsp_status};
use super::storage::rsp_storage;
use super::submit::Submission;
use crate::op::Operation;
use std::ffi::{c_char, c_void};

/// Carries an operation out. Blocks within the configured timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `request`: the operation and its arguments.
/// - `completion_out`: receives what came of it, which the caller owns and gives to
///   `rsp_completion_free`; its ticket is 0 and its user pointer NULL.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `completion_out` is not
/// written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `request` must be NULL or prepared by
/// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths;
/// `completion_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_call(
    storage: *const rsp_storage,
    request: *const rsp_request,
    completion_out: *mut *mut rsp_completion,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("completion_out", completion_out) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe { operation(request) }?;
        let output = storage.storage.call(operation)?;
        out.write(pointer::give(rsp_completion::new(0, None, Ok(output))));
        Ok(())
    })
}

/// Submits what `rsp_storage_call` would carry out.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `request`: the operation and its arguments. Everything is copied before the call returns.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
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
/// `storage` and `queue` must be NULL or live handles; `request` must be NULL or prepared by
/// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths; `ticket_out`
/// must be NULL or valid for writes; `message` must be NULL or valid for writes of `message_size`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    request: *const rsp_request,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe { operation(request) };
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

/// Makes an operation of a request.
///
/// # Safety
///
/// As [`growing::read`], and the request's texts are NULL or valid for reads of their lengths.
unsafe fn operation(request: *const rsp_request) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise.
    let given = unsafe { growing::read(request) }?;
    let described = request::described(given.operation)?;
    growing::check_flags(given.flags, request::FLAGS)?;
    // SAFETY: the caller's promise.
    let fields = unsafe { Fields::new(given) };
    fields.check_unused(described.parameters)?;
    Ok((described.read)(&fields)?)
}
