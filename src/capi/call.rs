//! Requests are carried out: blocking, or submitted to a queue. The three most frequent operations
//! have a function of their own.

use super::completion::{Requested, rsp_completion};
use super::guard::guard_status;
use super::pointer::{self, Message, required};
use super::queue::rsp_queue;
use super::request::rsp_request;
use super::status::rsp_status;
use super::storage::rsp_storage;
use crate::op::{Answer, Epoch};
use crate::ops::{Delete, Get, Set};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;

/// Carries a request out and waits for its completion, within the configured timeouts. If no other
/// operation is under way, its statement runs on the caller's own thread.
///
/// completion_out may be NULL if only the status matters. On failure there is no completion.
///
/// Errors: any status but RSP_INVALID_CONFIG and RSP_SYSTEM.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_call(
    storage: Option<&rsp_storage>,
    request: Option<&rsp_request>,
    completion_out: Option<&mut MaybeUninit<*mut rsp_completion>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        let request = required("request", request)?;
        let answer = storage.storage.call_any(request.operation()?)?;
        if let Some(out) = completion_out {
            out.write(rsp_completion::of_call(request.limit(), answer));
        }
        Ok(())
    })
}

/// Submits a request and returns at once. Its completion comes to the queue within the configured
/// timeouts, also if the operation fails.
///
/// user: any pointer, for rsp_completion_user; the library does not follow it. ticket_out: receives
/// the completion's ticket, never 0; it may be NULL.
///
/// Errors: RSP_INVALID_ARGUMENT, RSP_INVALID_TEXT, RSP_BACKLOG_FULL, RSP_STOPPED. No completion comes
/// then.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_submit(
    storage: Option<&rsp_storage>,
    queue: Option<&rsp_queue>,
    request: Option<&rsp_request>,
    user: *mut c_void,
    ticket_out: Option<&mut MaybeUninit<u64>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        let queue = required("queue", queue)?;
        let request = required("request", request)?;
        let requested = Requested { user, limit: request.limit() };
        let ticket = queue.submit(&storage.storage, request.operation()?, requested)?;
        if let Some(out) = ticket_out {
            out.write(ticket);
        }
        Ok(())
    })
}

/// Reads a session's data, as rsp_call does for the request "get" with the parameter "key". The
/// completion has no value if there is no live session of that key.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_get(
    storage: Option<&rsp_storage>,
    key: *const c_char,
    key_len: usize,
    completion_out: Option<&mut MaybeUninit<*mut rsp_completion>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        // SAFETY: the conventions.
        let key = unsafe { pointer::utf8("key", key, key_len) }?;
        let out = required("completion_out", completion_out)?;
        let value = storage.storage.call(Get::new(key, Epoch::now())?)?;
        out.write(rsp_completion::of_call(None, Answer::Value(value)));
        Ok(())
    })
}

/// Saves a session, as rsp_call does for the request "set" with the parameters "name", "key", "value"
/// and "ttl".
///
/// ttl: seconds from now until the session expires.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_set(
    storage: Option<&rsp_storage>,
    name: *const c_char,
    name_len: usize,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    ttl: f64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        // SAFETY: the conventions.
        let name = unsafe { pointer::utf8("name", name, name_len) }?;
        // SAFETY: the conventions.
        let key = unsafe { pointer::utf8("key", key, key_len) }?;
        // SAFETY: the conventions.
        let value = unsafe { pointer::utf8("value", value, value_len) }?;
        let expires = Epoch::from_seconds("ttl", Epoch::now().seconds() as f64 + ttl)?;
        let set = Set::new(name, key, value, expires)?;
        Ok(storage.storage.call(set)?)
    })
}

/// Deletes a session, as rsp_call does for the request "delete" with the parameter "key". It succeeds
/// also if there is no such session.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_delete(
    storage: Option<&rsp_storage>,
    key: *const c_char,
    key_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        // SAFETY: the conventions.
        let key = unsafe { pointer::utf8("key", key, key_len) }?;
        Ok(storage.storage.call(Delete::new(key)?)?)
    })
}
