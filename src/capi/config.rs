//! `rsp_config`: a configuration in the making.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::{Failure, rsp_status};
use crate::Error;
use crate::config::{Draft, Value};
use std::ffi::c_char;

/// A configuration in the making, to make storages of. One thread at a time may use it.
pub struct rsp_config {
    pub(super) draft: Draft,
}

/// Makes a configuration in which every key has its default.
///
/// # Arguments
///
/// - `config_out`: receives the configuration, which the caller owns and gives to
///   `rsp_config_free`.
///
/// # Errors
///
/// `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `config_out` must be NULL or valid for writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_new(config_out: *mut *mut rsp_config) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("config_out", config_out) }?;
        let draft = Draft::default();
        out.write(pointer::give(rsp_config { draft }));
        Ok(())
    })
}

/// Sets a key. A key may be set again: the last value holds.
///
/// The keys are those of the Lua module, listed in the project's README. Every value is a text:
/// a number in decimal digits, a boolean as "true", "false", "on" or "off", a list separated by
/// commas. Times are milliseconds.
///
/// # Arguments
///
/// - `config`: the configuration. After an error it is unchanged.
/// - `key`, `key_len`: the key's name and its length in bytes; no NUL is needed at its end.
/// - `value`, `value_len`: likewise the value. Both are copied.
/// - `message`, `message_size`: a buffer and its size in bytes. After a failure it holds a
///   NUL-terminated message, cut at a character where it is too long. May be NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_CONFIG` for an unknown key or a value that the key does not accept,
/// `RSP_INVALID_TEXT`, `RSP_NULL_POINTER`.
///
/// Not thread-safe: no other thread may use `config` meanwhile.
///
/// # Safety
///
/// `config` must be NULL or come from `rsp_config_new`; `key` and `value` must be NULL or valid for
/// reads of their lengths; `message` must be NULL or valid for writes of `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_set(
    config: *mut rsp_config,
    key: *const c_char,
    key_len: usize,
    value: *const c_char,
    value_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let config = unsafe { pointer::borrow_mut("config", config) }?;
        // SAFETY: promised by the caller.
        let key = unsafe { pointer::utf8("key", key, key_len) }?;
        // SAFETY: promised by the caller.
        let value = unsafe { pointer::utf8("value", value, value_len) }?;
        set(&mut config.draft, key, value).map_err(Failure::from)
    })
}

/// Frees a configuration. Storages that were made of it stay.
///
/// # Arguments
///
/// - `config`: the configuration, not to be used again. May be NULL: then nothing happens.
///
/// Not thread-safe: no other thread may use `config` meanwhile.
///
/// # Safety
///
/// `config` must be NULL or come from `rsp_config_new`, and not be freed already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_free(config: *mut rsp_config) {
    guard((), || {
        // SAFETY: promised by the caller.
        unsafe { pointer::take_back(config) }
    })
}

/// C has texts alone. Where a key does not take one, the spellings of a boolean may be meant; no key
/// takes both.
fn set(draft: &mut Draft, key: &str, text: &str) -> Result<(), Error> {
    let flag = match text {
        "true" | "on" => Some(true),
        "false" | "off" => Some(false),
        _ => None,
    };
    draft.set(key, &Value::Text(text.into())).or_else(|error| {
        flag.and_then(|flag| draft.set(key, &Value::Flag(flag)).ok())
            .ok_or(error)
    })
}
