//! `rsp_request`: an operation by its number, with the arguments that it takes. What each operation
//! does is told in `crate::manage`.

use super::RSP_NOW;
use super::growing::{self, Growing};
use super::guard::guard_status;
use super::pointer::Message;
use super::status::rsp_status;
use crate::Error;
use crate::manage::{self, Described};
use std::ffi::c_char;

/// What an `rsp_request` asks for, with the fields that it looks at; those in brackets may be left
/// as `rsp_request_init` makes them. A number keeps its meaning for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum rsp_operation {
    /// Ends the sessions of a subject: audience, subject, \[except_key\]. `rsp_completion_count` says
    /// how many were alive. A save with metadata that was committed before takes no effect, one that
    /// comes later does; those of one audience and its revocations take place one after the other.
    RSP_REVOKE = 1,
    /// Ends all sessions of an audience: audience. `rsp_completion_count` says how many were alive.
    RSP_REVOKE_AUDIENCE = 2,
    /// Lists live sessions in the order of their keys, of a subject, of an audience, or all:
    /// \[audience\], \[subject\], \[now_s\], \[after_key\], \[limit\]. `rsp_completion_metadata` has
    /// them.
    RSP_LIST = 3,
    /// Counts live sessions: \[audience\], \[subject\], \[now_s\], \[flags\].
    /// `rsp_completion_count` has their number.
    RSP_COUNT = 4,
    /// Lets a live session end at another time: key, ttl_s, \[now_s\]. `rsp_completion_count` is 1, or
    /// 0 where there is no such session.
    RSP_TOUCH = 5,
    /// Deletes sessions that are over on the database's clock and at the given time: \[limit\],
    /// \[now_s\]. `rsp_completion_count` says how many. It takes up to half of an operation's time.
    RSP_CLEANUP = 6,
    /// Creates the tables, or makes of older ones what they should be: \[flags\].
    /// `rsp_completion_count` says how many changes that took.
    RSP_MIGRATE = 7,
    /// Looks at the tables. `rsp_completion_count` says how many things are wrong or slow, and
    /// `rsp_completion_value` has two lines for each: in words, and the statement that repairs it.
    RSP_CHECK = 8,
    /// Reads a row, if there is one: for readiness probes. It waits a second at most for a connection,
    /// and another one for the answer.
    RSP_HEALTH = 9,
}

/// In `rsp_request.flags` of `RSP_COUNT`: for all sessions, PostgreSQL's estimate of the number of
/// rows is enough.
pub const RSP_COUNT_ESTIMATE: u64 = 1;

/// In `rsp_request.flags` of `RSP_MIGRATE`: new tables are unlogged, and so empty after a crash of the
/// server.
pub const RSP_MIGRATE_UNLOGGED: u64 = 1;

/// An operation with its arguments. Prepare it by `rsp_request_init`, then fill in what the operation
/// takes; what it does not take is refused, but for `now_s`.
///
/// No text needs a NUL at its end; everything is copied before the call returns. A text that
/// is NULL is not given.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct rsp_request {
    /// The size of this struct as the caller knows it; `rsp_request_init` writes it.
    pub size: usize,
    /// An `rsp_operation`; `rsp_request_init` writes it.
    pub operation: u32,
    /// A session's key; not empty.
    pub key: *const c_char,
    /// Its length in bytes.
    pub key_len: usize,
    /// The audience.
    pub audience: *const c_char,
    /// Its length in bytes.
    pub audience_len: usize,
    /// The subject.
    pub subject: *const c_char,
    /// Its length in bytes.
    pub subject_len: usize,
    /// The key of a session that is not ended.
    pub except_key: *const c_char,
    /// Its length in bytes.
    pub except_key_len: usize,
    /// The last key of the page before.
    pub after_key: *const c_char,
    /// Its length in bytes.
    pub after_key_len: usize,
    /// For how many seconds the session lives from `now_s` on.
    pub ttl_s: i64,
    /// The current time in seconds since 1970, or `RSP_NOW`.
    pub now_s: i64,
    /// How many at most; 0 leaves that to the library.
    pub limit: u64,
    /// 0, or flags of the operation.
    pub flags: u64,
}

/// All of the operations' flags; so far each has one at most.
/// cbindgen:ignore
pub(super) const FLAGS: u64 = RSP_COUNT_ESTIMATE | RSP_MIGRATE_UNLOGGED;

/// The operations' numbers and names.
/// cbindgen:ignore
const NUMBERS: &[(rsp_operation, &str)] = &[
    (rsp_operation::RSP_REVOKE, "revoke"),
    (rsp_operation::RSP_REVOKE_AUDIENCE, "revoke_audience"),
    (rsp_operation::RSP_LIST, "list"),
    (rsp_operation::RSP_COUNT, "count"),
    (rsp_operation::RSP_TOUCH, "touch"),
    (rsp_operation::RSP_CLEANUP, "cleanup"),
    (rsp_operation::RSP_MIGRATE, "migrate"),
    (rsp_operation::RSP_CHECK, "check"),
    (rsp_operation::RSP_HEALTH, "health"),
];

// SAFETY: numbers and raw pointers, the size first.
unsafe impl Growing for rsp_request {
    const NAME: &'static str = "request";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Prepares a request: everything else is 0 or NULL, and `now_s` is `RSP_NOW`.
///
/// # Arguments
///
/// - `request`: the struct.
/// - `size`: `sizeof(rsp_request)`.
/// - `operation`: an `rsp_operation`.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT` for a size that no version of the struct has, `RSP_NULL_POINTER`.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `request` must be NULL or valid for writes of `size` bytes, and aligned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_request_init(
    request: *mut rsp_request,
    size: usize,
    operation: u32,
) -> rsp_status {
    guard_status(Message::none(), || {
        let blank = rsp_request {
            size,
            operation,
            now_s: RSP_NOW,
            ..Growing::zeroed()
        };
        // SAFETY: promised by the caller.
        unsafe { growing::init(request, size, blank) }
    })
}

/// The operation of a number.
pub(super) fn described(number: u32) -> Result<&'static Described, Error> {
    let known = NUMBERS.iter().find(|(known, _)| *known as u32 == number);
    known
        .and_then(|(_, name)| manage::ALL.iter().find(|described| described.name == *name))
        .ok_or_else(|| Error::argument("operation", format!("{number} is the number of none")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_number() {
        assert_eq!(NUMBERS.len(), manage::ALL.len());
        for (number, _) in NUMBERS {
            assert!(described(*number as u32).is_ok(), "{number:?}");
        }
        assert!(described(0).is_err());
    }
}
