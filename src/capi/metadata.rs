//! `rsp_metadata`: a subject's sessions, as a result.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::rsp_status;
use crate::Error;
use crate::op::Epoch;
use std::ffi::c_char;

/// A subject's live sessions: the key of each and when it ends, in no particular order. It never
/// changes, so any number of threads may read it at the same time.
pub struct rsp_metadata {
    /// The keys have a NUL at their ends.
    sessions: Vec<(String, Epoch)>,
}

impl rsp_metadata {
    pub(super) fn new(mut sessions: Vec<(String, Epoch)>) -> Self {
        for (key, _) in &mut sessions {
            key.push('\0');
        }
        rsp_metadata { sessions }
    }
}

/// Returns how many sessions there are.
///
/// # Arguments
///
/// - `metadata`: the sessions. May be NULL, which are 0.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `metadata` must be NULL or a live `rsp_metadata` of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_metadata_len(metadata: *const rsp_metadata) -> usize {
    guard(0, || {
        // SAFETY: promised by the caller.
        let metadata = unsafe { metadata.as_ref() };
        metadata.map_or(0, |metadata| metadata.sessions.len())
    })
}

/// Reads one of the sessions.
///
/// # Arguments
///
/// - `metadata`: the sessions.
/// - `index`: which of them, from 0.
/// - `key_out`: receives the session's key, UTF-8 without NUL bytes and with one after its end. It
///   is valid until `metadata` is freed.
/// - `key_len_out`: receives the key's length in bytes, without that NUL. May be NULL.
/// - `expires_s_out`: receives the second in which the session ends, since 1970. May be NULL.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT` where there is no such index, `RSP_NULL_POINTER`. After an error no output
/// is written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `metadata` must be NULL or a live `rsp_metadata` of this library; the outputs must be NULL or
/// valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_metadata_get(
    metadata: *const rsp_metadata,
    index: usize,
    key_out: *mut *const c_char,
    key_len_out: *mut usize,
    expires_s_out: *mut i64,
) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let metadata = unsafe { pointer::borrow("metadata", metadata) }?;
        // SAFETY: promised by the caller.
        let key_out = unsafe { Out::new("key_out", key_out) }?;
        let no_such_index = || Error::argument("index", "there are not so many sessions");
        let (key, expires) = metadata.sessions.get(index).ok_or_else(no_such_index)?;
        key_out.write(key.as_ptr().cast());
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(key_len_out, key.len() - 1) };
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(expires_s_out, expires.seconds()) };
        Ok(())
    })
}

/// Frees what `rsp_storage_read_metadata` has given.
///
/// # Arguments
///
/// - `metadata`: the sessions, not to be used again. May be NULL: then nothing happens. What
///   `rsp_completion_metadata` returns belongs to its completion and must not be freed.
///
/// Not thread-safe: no other thread may use `metadata` meanwhile.
///
/// # Safety
///
/// `metadata` must be NULL or come from `rsp_storage_read_metadata`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_metadata_free(metadata: *mut rsp_metadata) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(metadata) }
    })
}
