//! A password that changes while the host runs.

use super::guard::guard_status;
use super::pointer::{self, Message};
use super::status::rsp_status;
use super::storage::rsp_storage;
use std::ffi::c_char;

/// Replaces the password that this process opens further connections with; those that are open
/// stay. Concerns every storage that shares the connections of this one. Does not wait for the
/// database.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `password`, `password_len`: the new password and its length in bytes; no NUL is needed at its
///   end. It is copied.
/// - `message`, `message_size`: for the message of a failure, as in `rsp_config_set`.
///
/// # Errors
///
/// `RSP_INVALID_TEXT`, `RSP_NULL_POINTER`, `RSP_INTERNAL`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `password` must be NULL or valid for reads of
/// `password_len` bytes; `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_set_password(
    storage: *const rsp_storage,
    password: *const c_char,
    password_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let password = unsafe { pointer::utf8("password", password, password_len) }?;
        storage.storage.set_password(password)?;
        Ok(())
    })
}
