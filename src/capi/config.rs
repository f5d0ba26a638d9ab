//! `rsp_config`: a configuration in the making.

use super::guard::{guard, guard_status};
use super::pointer::{self, Message, required};
use super::status::rsp_status;
use crate::Error;
use crate::config::{Draft, Value};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// A configuration in the making, to make storages of.
pub struct rsp_config {
    pub(super) draft: Draft,
}

/// Makes a configuration in which every key has its default.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_new(
    config_out: Option<&mut MaybeUninit<*mut rsp_config>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let out = required("config_out", config_out)?;
        let draft = Draft::default();
        out.write(Box::into_raw(Box::new(rsp_config { draft })));
        Ok(())
    })
}

/// Sets a key, listed in docs/configuration.md. The last value of a key holds. A value is a text: a
/// number in decimal digits, a boolean as "true", "false", "on" or "off", a list separated by commas.
/// Times are milliseconds.
///
/// Errors: RSP_INVALID_CONFIG for an unknown key or a value that the key does not accept,
/// RSP_INVALID_TEXT. The configuration is then unchanged.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_set(
    config: Option<&mut rsp_config>,
    key: *const c_char,
    value: *const c_char,
    value_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let config = required("config", config)?;
        // SAFETY: the conventions.
        let key = unsafe { pointer::name("key", key) }?;
        // SAFETY: the conventions.
        let value = unsafe { pointer::utf8("value", value, value_len) }?;
        Ok(set(&mut config.draft, &key, &value)?)
    })
}

/// Sets the keys that a connection string of libpq names: "postgres://user@host/database" or
/// "host=... dbname=...". Empty values leave keys unchanged.
///
/// Errors: RSP_INVALID_CONFIG, RSP_INVALID_TEXT. The configuration is then unchanged.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_dsn(
    config: Option<&mut rsp_config>,
    dsn: *const c_char,
    dsn_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let config = required("config", config)?;
        // SAFETY: the conventions.
        let dsn = unsafe { pointer::utf8("dsn", dsn, dsn_len) }?;
        Ok(config.draft.set_dsn(&dsn)?)
    })
}

/// Sets the keys for which libpq has an environment variable (PGHOST, PGUSER, ...) from those that
/// are set and not empty. No other function reads these variables.
///
/// Errors: RSP_INVALID_CONFIG. The configuration is then unchanged.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_config_environment(
    config: Option<&mut rsp_config>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        Ok(required("config", config)?.draft.set_environment()?)
    })
}

/// Frees a configuration.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_config_free(config: Option<Box<rsp_config>>) {
    guard((), || drop(config));
}

/// C has texts only. Where a key does not take one, it may take the boolean that the text spells; no
/// key takes both.
fn set(draft: &mut Draft, key: &str, text: &str) -> Result<(), Error> {
    let flag = match text {
        "true" | "on" => Some(true),
        "false" | "off" => Some(false),
        _ => None,
    };
    draft
        .set(key, &Value::Text(text.into()))
        .or_else(|error| flag.and_then(|flag| draft.set(key, &Value::Flag(flag)).ok()).ok_or(error))
}
