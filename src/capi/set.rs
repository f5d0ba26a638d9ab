//! `rsp_set`: what one save is given.

use super::growing::{self, Growing};
use super::guard::guard_status;
use super::pointer::{self, Message};
use super::status::{Failure, rsp_status};
use super::{RSP_NOW, time};
use crate::op::{Epoch, Old, Operation, Set};
use std::ffi::c_char;

/// In `rsp_set.flags`: the session `old_key` is deleted instead of ending soon.
pub const RSP_SET_DELETE_OLD: u64 = 1;

/// An audience and a subject under which a session is to be found. No text needs a NUL at its end.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rsp_pair {
    /// The audience.
    pub audience: *const c_char,
    /// Its length in bytes.
    pub audience_len: usize,
    /// The subject.
    pub subject: *const c_char,
    /// Its length in bytes.
    pub subject_len: usize,
}

/// What `rsp_storage_set` saves. Prepare it by `rsp_set_init`, then fill in what is wanted: a field
/// that a later version adds then asks for nothing. No text needs a NUL at its end; everything is
/// copied before the call returns.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rsp_set {
    /// The size of this struct as the caller knows it; `rsp_set_init` writes it.
    pub size: usize,
    /// The session's (the cookie's) name.
    pub name: *const c_char,
    /// Its length in bytes.
    pub name_len: usize,
    /// The session's key; not empty.
    pub key: *const c_char,
    /// Its length in bytes.
    pub key_len: usize,
    /// The session's data.
    pub value: *const c_char,
    /// Its length in bytes.
    pub value_len: usize,
    /// For how many seconds the session lives from `now_s` on.
    pub ttl_s: i64,
    /// The current time in seconds since 1970, or `RSP_NOW`.
    pub now_s: i64,
    /// The key of a session that this one replaces. May be NULL: then there is none.
    pub old_key: *const c_char,
    /// Its length in bytes.
    pub old_key_len: usize,
    /// For how many seconds the replaced session lives on at most; unused with
    /// `RSP_SET_DELETE_OLD`.
    pub stale_ttl_s: i64,
    /// The audiences and subjects under which the session is to be found. May be NULL if
    /// `metadata_len` is 0.
    pub metadata: *const rsp_pair,
    /// How many pairs these are.
    pub metadata_len: usize,
    /// 0 or `RSP_SET_DELETE_OLD`.
    pub flags: u64,
}

// SAFETY: numbers and raw pointers, the size first.
unsafe impl Growing for rsp_set {
    const NAME: &'static str = "set";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Prepares a set: everything is 0 or NULL, and `now_s` is `RSP_NOW`.
///
/// # Arguments
///
/// - `set`: the struct.
/// - `size`: `sizeof(rsp_set)`.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT` for a size that no version of the struct has, `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `set` must be NULL or valid for writes of `size` bytes, and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_set_init(set: *mut rsp_set, size: usize) -> rsp_status {
    guard_status(Message::none(), || {
        let blank = rsp_set {
            size,
            now_s: RSP_NOW,
            ..Growing::zeroed()
        };
        // SAFETY: promised by the caller.
        unsafe { growing::init(set, size, blank) }
    })
}

/// The operation that a set asks for.
///
/// # Safety
///
/// As [`growing::read`], and the set's texts and pairs are NULL or valid for reads of their lengths.
pub(super) unsafe fn operation(set: *const rsp_set) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise.
    let set = unsafe { growing::read(set) }?;
    growing::check_flags(set.flags, RSP_SET_DELETE_OLD)?;
    // SAFETY: the caller's promise.
    let name = unsafe { pointer::text("name", set.name, set.name_len) }?;
    // SAFETY: the caller's promise.
    let key = unsafe { pointer::key("key", set.key, set.key_len) }?;
    // SAFETY: the caller's promise.
    let value = unsafe { pointer::text("value", set.value, set.value_len) }?;
    let now = time("now_s", set.now_s)?;
    let in_seconds = |name, seconds: i64| {
        let at = now.seconds().saturating_add(seconds);
        Epoch::from_seconds(name, at as f64)
    };
    // SAFETY: the caller's promise.
    let old_key = unsafe { old_key(&set) }?;
    let old = match old_key {
        Some(key) if set.flags & RSP_SET_DELETE_OLD != 0 => Some(Old::Delete { key }),
        Some(key) => Some(Old::Expire {
            key,
            at: in_seconds("stale_ttl_s", set.stale_ttl_s)?,
        }),
        None => None,
    };
    Ok(Operation::Set(Set {
        name,
        key,
        value,
        expires: in_seconds("ttl_s", set.ttl_s)?,
        old,
        // SAFETY: the caller's promise.
        metadata: unsafe { pairs(&set) }?,
    }))
}

/// # Safety
///
/// The old key is NULL or valid for reads of its length.
unsafe fn old_key(set: &rsp_set) -> Result<Option<String>, Failure> {
    if set.old_key.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { pointer::key("old_key", set.old_key, set.old_key_len) }.map(Some)
}

/// # Safety
///
/// The pairs and their texts are NULL or valid for reads of their lengths.
unsafe fn pairs(set: &rsp_set) -> Result<Vec<(String, String)>, Failure> {
    // SAFETY: the caller's promise.
    let pairs = unsafe { pointer::array("metadata", set.metadata, set.metadata_len) }?;
    let mut owned = Vec::with_capacity(pairs.len());
    for pair in pairs {
        // SAFETY: the caller's promise.
        let audience = unsafe { pointer::text("audience", pair.audience, pair.audience_len) }?;
        // SAFETY: the caller's promise.
        let subject = unsafe { pointer::text("subject", pair.subject, pair.subject_len) }?;
        owned.push((audience, subject));
    }
    Ok(owned)
}
