//! `rsp_storage`: the four operations, each blocking within the configured timeouts.

use super::bytes::rsp_bytes;
use super::config::rsp_config;
use super::guard::{guard, guard_status};
use super::metadata::rsp_metadata;
use super::operation::{self, Results};
use super::pointer::{self, Message, Out};
use super::set::{self, rsp_set};
use super::status::rsp_status;
use crate::{Config, Storage};
use std::ffi::c_char;
use std::ptr;

/// A session storage. Any number of threads may use it at the same time.
///
/// Storages of equal configurations share one pool of connections, which the first operation of a
/// process opens; it lasts until the process ends. A child of a fork opens its own.
pub struct rsp_storage {
    pub(super) storage: Storage,
}

/// Makes a storage. Nothing is connected yet and no thread is started.
///
/// # Arguments
///
/// - `config`: the configuration, which stays the caller's and may be changed or freed afterwards.
///   May be NULL: then every key has its default.
/// - `storage_out`: receives the storage, which the caller owns and gives to `rsp_storage_free`.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// `RSP_INVALID_CONFIG` where keys contradict each other, or name a file that cannot be used;
/// `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time, but none may change `config` meanwhile.
///
/// # Safety
///
/// `config` must be NULL or a live `rsp_config`; `storage_out` must be NULL or valid for writes;
/// `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_new(
    config: *const rsp_config,
    storage_out: *mut *mut rsp_storage,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("storage_out", storage_out) }?;
        // SAFETY: promised by the caller.
        let config = match unsafe { config.as_ref() } {
            Some(config) => config.draft.clone().build()?,
            None => Config::default(),
        };
        let storage = Storage::checked(config)?;
        out.write(pointer::give(rsp_storage { storage }));
        Ok(())
    })
}

/// Saves a session; all of it takes place, or nothing. Blocks within the configured timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `set`: what is saved; see `rsp_set`.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `set` must be NULL or prepared by
/// `rsp_set_init`, with texts and pairs that are NULL or valid for reads of their lengths;
/// `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_set(
    storage: *const rsp_storage,
    set: *const rsp_set,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe { set::operation(set) }?;
        storage.storage.call(operation)?;
        Ok(())
    })
}

/// Reads a session's data. Blocks within the configured timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end.
/// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`. A session that ended before is
///   not found.
/// - `value_out`: receives the data, which the caller owns and gives to `rsp_bytes_free`; NULL where
///   there is no such session, which is no error.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `value_out` is not written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `key` must be NULL or valid for reads of
/// `key_len` bytes; `value_out` must be NULL or valid for writes; `message` must be NULL or valid
/// for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_get(
    storage: *const rsp_storage,
    key: *const c_char,
    key_len: usize,
    now_s: i64,
    value_out: *mut *mut rsp_bytes,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("value_out", value_out) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe { operation::get(key, key_len, now_s) }?;
        let results = Results::from(storage.storage.call(operation)?);
        out.write(results.value.map_or(ptr::null_mut(), pointer::give));
        Ok(())
    })
}

/// Deletes a session and its metadata; that there is none is no error. Blocks within the configured
/// timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `key`, `key_len`: the session's key and its length in bytes; no NUL is needed at its end.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `key` must be NULL or valid for reads of
/// `key_len` bytes; `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_delete(
    storage: *const rsp_storage,
    key: *const c_char,
    key_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe { operation::delete(key, key_len) }?;
        storage.storage.call(operation)?;
        Ok(())
    })
}

/// Lists the live sessions of a subject. Blocks within the configured timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `audience`, `audience_len`, `subject`, `subject_len`: what the sessions were saved under, and
///   the lengths in bytes; no NUL is needed at their ends.
/// - `now_s`: the current time in seconds since 1970, or `RSP_NOW`. A session that ended before is
///   left out.
/// - `metadata_out`: receives the sessions, never NULL and possibly 0 of them, which the caller owns
///   and gives to `rsp_metadata_free`.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `metadata_out` is not
/// written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `audience` and `subject` must be NULL or valid
/// for reads of their lengths; `metadata_out` must be NULL or valid for writes; `message` must be
/// NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_read_metadata(
    storage: *const rsp_storage,
    audience: *const c_char,
    audience_len: usize,
    subject: *const c_char,
    subject_len: usize,
    now_s: i64,
    metadata_out: *mut *mut rsp_metadata,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("metadata_out", metadata_out) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe {
            operation::read_metadata(audience, audience_len, subject, subject_len, now_s)
        }?;
        let results = Results::from(storage.storage.call(operation)?);
        out.write(results.metadata.map_or(ptr::null_mut(), pointer::give));
        Ok(())
    })
}

/// Returns what this process's connections and operations have come to, as Prometheus reads it.
/// Storages that share a pool share it. Never blocks.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `text_out`: receives the text, which the caller owns and gives to `rsp_bytes_free`.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// `RSP_INTERNAL`, `RSP_NULL_POINTER`. After an error `text_out` is not written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `text_out` must be NULL or valid for writes;
/// `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_metrics(
    storage: *const rsp_storage,
    text_out: *mut *mut rsp_bytes,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("text_out", text_out) }?;
        let text = storage.storage.metrics()?;
        out.write(pointer::give(rsp_bytes::new(text)));
        Ok(())
    })
}

/// Frees a storage. Operations that were submitted to it go on, and other storages of an equal
/// configuration stay; so do the connections, until they have idled for long enough.
///
/// # Arguments
///
/// - `storage`: the storage, not to be used again. May be NULL: then nothing happens.
///
/// Not thread-safe: no other thread may use `storage` meanwhile.
///
/// # Safety
///
/// `storage` must be NULL or come from `rsp_storage_new`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_free(storage: *mut rsp_storage) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(storage) }
    })
}
