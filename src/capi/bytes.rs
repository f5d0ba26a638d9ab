//! `rsp_bytes`: a session's data, as a result.

use super::guard::guard;
use super::pointer;
use std::ffi::c_char;
use std::ptr;

/// A session's data. It never changes, so any number of threads may read it at the same time.
pub struct rsp_bytes {
    /// With a NUL at its end, so that C's functions for text can be used on it.
    data: String,
}

impl rsp_bytes {
    pub(super) fn new(mut data: String) -> Self {
        data.push('\0');
        rsp_bytes { data }
    }
}

/// Returns the data's first byte.
///
/// # Arguments
///
/// - `bytes`: the data. May be NULL.
///
/// # Returns
///
/// A pointer that is valid until `bytes` is freed; NULL for NULL. The bytes are UTF-8, hold no NUL,
/// and have one after their end.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `bytes` must be NULL or a live `rsp_bytes` of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_bytes_data(bytes: *const rsp_bytes) -> *const c_char {
    guard(ptr::null(), || {
        // SAFETY: promised by the caller.
        let bytes = unsafe { bytes.as_ref() };
        bytes.map_or(ptr::null(), |bytes| bytes.data.as_ptr().cast())
    })
}

/// Returns the data's length in bytes, without the NUL after its end.
///
/// # Arguments
///
/// - `bytes`: the data. May be NULL, whose length is 0.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `bytes` must be NULL or a live `rsp_bytes` of this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_bytes_len(bytes: *const rsp_bytes) -> usize {
    guard(0, || {
        // SAFETY: promised by the caller.
        let bytes = unsafe { bytes.as_ref() };
        bytes.map_or(0, |bytes| bytes.data.len() - 1)
    })
}

/// Frees data that `rsp_storage_get` has given.
///
/// # Arguments
///
/// - `bytes`: the data, not to be used again. May be NULL: then nothing happens. What
///   `rsp_completion_value` returns belongs to its completion and must not be freed.
///
/// Not thread-safe: no other thread may use `bytes` meanwhile.
///
/// # Safety
///
/// `bytes` must be NULL or come from `rsp_storage_get`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_bytes_free(bytes: *mut rsp_bytes) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(bytes) }
    })
}
