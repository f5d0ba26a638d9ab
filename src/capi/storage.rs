//! `rsp_storage`: a session storage.

use super::completion::rsp_completion;
use super::config::rsp_config;
use super::guard::{guard, guard_status};
use super::pointer::{self, Message, required};
use super::status::rsp_status;
use crate::op::Answer;
use crate::{Config, Storage};
use std::ffi::c_char;
use std::mem::MaybeUninit;

/// A session storage. Storages of equal configurations share one pool of connections. The first
/// operation of a process opens it; it lasts until the process ends.
pub struct rsp_storage {
    pub(super) storage: Storage,
}

/// Makes a storage. It does not connect and starts no thread.
///
/// config may be NULL: every key then has its default. It may be changed or freed afterwards.
///
/// Errors: RSP_INVALID_CONFIG for keys that contradict each other, or that name a file which cannot
/// be used.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_new(
    config: Option<&rsp_config>,
    storage_out: Option<&mut MaybeUninit<*mut rsp_storage>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let out = required("storage_out", storage_out)?;
        let config = match config {
            Some(config) => config.draft.clone().build()?,
            None => Config::default(),
        };
        let storage = Storage::checked(config)?;
        out.write(Box::into_raw(Box::new(rsp_storage { storage })));
        Ok(())
    })
}

/// Replaces the password with which this process opens further connections. Open connections stay.
/// It concerns all storages that share the connections of this one, and does not wait for the
/// database.
///
/// Errors: RSP_INVALID_TEXT.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_set_password(
    storage: Option<&rsp_storage>,
    password: *const c_char,
    password_len: usize,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        // SAFETY: the conventions.
        let password = unsafe { pointer::utf8("password", password, password_len) }?;
        Ok(storage.storage.set_password(&password)?)
    })
}

/// Reads the counters of this process's connections and operations. The value of the completion is a
/// text in Prometheus' format. Storages that share connections share the counters. It does not wait
/// for the database.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_metrics(
    storage: Option<&rsp_storage>,
    completion_out: Option<&mut MaybeUninit<*mut rsp_completion>>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        let storage = required("storage", storage)?;
        let out = required("completion_out", completion_out)?;
        let answer = Answer::Value(Some(storage.storage.metrics()?));
        out.write(rsp_completion::of_call(None, answer));
        Ok(())
    })
}

/// Frees a storage. Submitted operations go on; connections stay open for other storages that share
/// them, and until keepalive_timeout.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_storage_free(storage: Option<Box<rsp_storage>>) {
    guard((), || drop(storage));
}
