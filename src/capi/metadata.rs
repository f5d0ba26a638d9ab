//! `rsp_metadata`: sessions, as a result.

use super::RSP_NOW;
use super::guard::{guard, guard_status};
use super::pointer::{self, Message, Out};
use super::status::rsp_status;
use crate::Error;
use crate::manage;
use crate::op::Epoch;
use std::ffi::c_char;
use std::ptr;

/// Live sessions: the key of each and when it ends. Those of a read_metadata are in no particular
/// order, those of an `RSP_LIST` in that of their keys. It never changes, so any number of threads
/// may read it at the same time.
pub struct rsp_metadata {
    sessions: Vec<Session>,
}

/// The texts have a NUL at their ends.
struct Session {
    key: String,
    name: Option<String>,
    expires: Epoch,
    created: Option<Epoch>,
}

impl FromIterator<(String, Epoch)> for rsp_metadata {
    fn from_iter<I: IntoIterator<Item = (String, Epoch)>>(sessions: I) -> Self {
        let session = |(key, expires)| Session {
            key: key + "\0",
            name: None,
            expires,
            created: None,
        };
        rsp_metadata {
            sessions: sessions.into_iter().map(session).collect(),
        }
    }
}

impl FromIterator<manage::Session> for rsp_metadata {
    fn from_iter<I: IntoIterator<Item = manage::Session>>(sessions: I) -> Self {
        let session = |listed: manage::Session| Session {
            key: listed.key + "\0",
            name: Some(listed.name + "\0"),
            expires: listed.expires,
            created: listed.created,
        };
        rsp_metadata {
            sessions: sessions.into_iter().map(session).collect(),
        }
    }
}

impl rsp_metadata {
    fn session(&self, index: usize) -> Result<&Session, Error> {
        let no_such_index = || Error::argument("index", "there are not so many sessions");
        self.sessions.get(index).ok_or_else(no_such_index)
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
        let session = metadata.session(index)?;
        key_out.write(session.key.as_ptr().cast());
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(key_len_out, session.key.len() - 1) };
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(expires_s_out, session.expires.seconds()) };
        Ok(())
    })
}

/// Reads what else an `RSP_LIST` says of one of its sessions.
///
/// # Arguments
///
/// - `metadata`: the sessions.
/// - `index`: which of them, from 0.
/// - `name_out`: receives the session's (the cookie's) name, UTF-8 without NUL bytes and with one
///   after its end; NULL for the sessions of a read_metadata. It is valid until `metadata` is freed.
/// - `name_len_out`: receives the name's length in bytes, without that NUL. May be NULL.
/// - `created_s_out`: receives the second in which the key was first saved, since 1970, or `RSP_NOW`
///   where that is unknown. May be NULL.
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
pub unsafe extern "C" fn rsp_metadata_name(
    metadata: *const rsp_metadata,
    index: usize,
    name_out: *mut *const c_char,
    name_len_out: *mut usize,
    created_s_out: *mut i64,
) -> rsp_status {
    guard_status(Message::none(), || {
        // SAFETY: promised by the caller.
        let metadata = unsafe { pointer::borrow("metadata", metadata) }?;
        // SAFETY: promised by the caller.
        let name_out = unsafe { Out::new("name_out", name_out) }?;
        let session = metadata.session(index)?;
        let name = session.name.as_deref();
        name_out.write(name.map_or(ptr::null(), |name| name.as_ptr().cast()));
        let len = name.map_or(0, |name| name.len() - 1);
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(name_len_out, len) };
        let created = session.created.map_or(RSP_NOW, Epoch::seconds);
        // SAFETY: promised by the caller.
        unsafe { pointer::write_if_wanted(created_s_out, created) };
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
