//! `rsp_request`: an operation by its number, with the arguments that it takes; blocking or for an
//! event loop. What each operation does is told in `crate::manage`.

use super::completion::rsp_completion;
use super::guard::guard_status;
use super::pointer::{self, Message, Out};
use super::queue::rsp_queue;
use super::status::{Failure, rsp_status};
use super::storage::rsp_storage;
use super::submit::{Destination, submit};
use super::{RSP_NOW, time};
use crate::Error;
use crate::manage::{self, Arguments, Described};
use crate::op::{self, Epoch, Operation};
use std::ffi::{c_char, c_void};
use std::{ptr, slice};

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
/// takes. No text needs a NUL at its end; everything is copied before the call returns. A text that
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

/// The size of the struct in the first version that had it.
/// cbindgen:ignore
const FIRST_SIZE: usize = size_of::<rsp_request>();
/// No version's struct will be longer; a size beyond it is not a size.
/// cbindgen:ignore
const MOST_SIZE: usize = 4096;

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
        if request.is_null() {
            return Err(Failure::Null("request"));
        }
        check_size(size)?;
        // SAFETY: promised by the caller.
        unsafe { ptr::write_bytes(request.cast::<u8>(), 0, size) };
        // SAFETY: as above, and every version of the struct has this field.
        unsafe { (*request).size = size };
        // SAFETY: as above.
        unsafe { (*request).operation = operation };
        // SAFETY: as above.
        unsafe { (*request).now_s = RSP_NOW };
        Ok(())
    })
}

/// Carries an operation out. Blocks within the configured timeouts.
///
/// # Arguments
///
/// - `storage`: the storage.
/// - `request`: the operation and its arguments.
/// - `completion_out`: receives what came of it, which the caller owns and gives to
///   `rsp_completion_free`; its ticket is 0 and its user pointer NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// Any status but `RSP_INVALID_CONFIG` and `RSP_SYSTEM`. After an error `completion_out` is not
/// written.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` must be NULL or a live `rsp_storage`; `request` must be NULL or prepared by
/// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths;
/// `completion_out` must be NULL or valid for writes; `message` must be NULL or valid for writes of
/// `message_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_call(
    storage: *const rsp_storage,
    request: *const rsp_request,
    completion_out: *mut *mut rsp_completion,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let storage = unsafe { pointer::borrow("storage", storage) }?;
        // SAFETY: promised by the caller.
        let out = unsafe { Out::new("completion_out", completion_out) }?;
        // SAFETY: promised by the caller.
        let operation = unsafe { operation(request) }?;
        let output = storage.storage.call(operation)?;
        out.write(pointer::give(rsp_completion::new(0, None, Ok(output))));
        Ok(())
    })
}

/// Submits what `rsp_storage_call` would carry out.
///
/// # Arguments
///
/// - `storage`, `queue`: the storage, and the queue that its completion comes to, within the
///   configured timeouts. Either may be freed before that.
/// - `request`: the operation and its arguments. Everything is copied before the call returns.
/// - `user`: comes back with the completion, and is never looked into. May be NULL.
/// - `ticket_out`: receives a number above 0 that no other operation of the queue has. May be NULL.
/// - `message`, `message_size`: a buffer for the message of a failure; see `rsp_config_set`. May be
///   NULL or of size 0.
///
/// # Errors
///
/// `RSP_INVALID_ARGUMENT`, `RSP_INVALID_TEXT`, `RSP_BACKLOG_FULL`, `RSP_STOPPED`, `RSP_INTERNAL`,
/// `RSP_NULL_POINTER`: the operation was not accepted, and nothing comes to the queue.
///
/// Any thread may call this at any time.
///
/// # Safety
///
/// `storage` and `queue` must be NULL or live handles; `request` must be NULL or prepared by
/// `rsp_request_init`, with texts that are NULL or valid for reads of their lengths; `ticket_out`
/// must be NULL or valid for writes; `message` must be NULL or valid for writes of `message_size`
/// bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_storage_submit(
    storage: *const rsp_storage,
    queue: *const rsp_queue,
    request: *const rsp_request,
    user: *mut c_void,
    ticket_out: *mut u64,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: promised by the caller.
    let message = unsafe { Message::new(message, message_size) };
    guard_status(message, || {
        // SAFETY: promised by the caller.
        let operation = || unsafe { operation(request) };
        let to = Destination {
            queue,
            user,
            ticket_out,
        };
        // SAFETY: promised by the caller.
        unsafe { submit(storage, to, operation) }
    })
}

fn check_size(size: usize) -> Result<(), Error> {
    if (FIRST_SIZE..=MOST_SIZE).contains(&size) {
        return Ok(());
    }
    let reason = format!("{size} is the size of no rsp_request: was rsp_request_init called?");
    Err(Error::argument("size", reason))
}

/// Makes an operation of a request. What only a later version knows must be 0, or it would be ignored
/// in silence.
///
/// # Safety
///
/// `request` is NULL, or valid for reads of a `size` and of as many bytes as that says, with texts
/// that are NULL or valid for reads of their lengths.
unsafe fn operation(request: *const rsp_request) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise; `size` is the first field.
    let size = unsafe { request.cast::<usize>().as_ref() }.ok_or(Failure::Null("request"))?;
    check_size(*size)?;
    // SAFETY: the caller's promise.
    let known = unsafe { pointer::borrow("request", request) }?;
    // SAFETY: the caller's promise; `check_size` bounds it.
    let all = unsafe { slice::from_raw_parts(request.cast::<u8>(), *size) };
    if all[FIRST_SIZE..].iter().any(|byte| *byte != 0) {
        let reason = "has a field set that this version does not know";
        return Err(Error::argument("request", reason).into());
    }
    let described = described(known.operation)?;
    // So far each operation has one flag at most.
    if known.flags & !(RSP_COUNT_ESTIMATE | RSP_MIGRATE_UNLOGGED) != 0 {
        let reason = format!(
            "{:#x} has a flag that this version does not know",
            known.flags
        );
        return Err(Error::argument("flags", reason).into());
    }
    Ok((described.read)(&Fields(*known))?)
}

fn described(number: u32) -> Result<&'static Described, Error> {
    let known = NUMBERS.iter().find(|(known, _)| *known as u32 == number);
    known
        .and_then(|(_, name)| manage::ALL.iter().find(|described| described.name == *name))
        .ok_or_else(|| Error::argument("operation", format!("{number} is the number of none")))
}

/// A request whose texts may be read.
struct Fields(rsp_request);

impl Fields {
    /// A text by the name of its field; `None` where it is NULL.
    fn bytes(&self, name: &'static str) -> Result<Option<&[u8]>, Error> {
        let Fields(request) = self;
        let (data, len) = match name {
            "key" => (request.key, request.key_len),
            "audience" => (request.audience, request.audience_len),
            "subject" => (request.subject, request.subject_len),
            "except_key" => (request.except_key, request.except_key_len),
            "after_key" => (request.after_key, request.after_key_len),
            _ => return Err(Error::internal(format!("no field {name}"))),
        };
        if data.is_null() {
            return Ok(None);
        }
        if len > op::MAX_TEXT_BYTES {
            let reason = "is longer than 256 MiB";
            return Err(Error::Text { name, reason });
        }
        // SAFETY: promised by whoever gave the request, and the length is below isize::MAX.
        Ok(Some(unsafe { slice::from_raw_parts(data.cast(), len) }))
    }

    fn given<T>(
        &self,
        name: &'static str,
        check: fn(&'static str, &[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let bytes = self.bytes(name)?;
        let bytes = bytes.ok_or_else(|| Error::argument(name, "may not be NULL here"))?;
        check(name, bytes)
    }
}

impl Arguments for Fields {
    fn text(&self, name: &'static str) -> Result<String, Error> {
        self.given(name, op::text)
    }

    fn optional_text(&self, name: &'static str) -> Result<Option<String>, Error> {
        let bytes = self.bytes(name)?;
        bytes.map(|bytes| op::text(name, bytes)).transpose()
    }

    fn key(&self, name: &'static str) -> Result<String, Error> {
        self.given(name, op::key)
    }

    fn optional_key(&self, name: &'static str) -> Result<Option<String>, Error> {
        let bytes = self.bytes(name)?;
        bytes.map(|bytes| op::key(name, bytes)).transpose()
    }

    fn seconds(&self, _: &'static str) -> Result<f64, Error> {
        Ok(self.0.ttl_s as f64)
    }

    fn time(&self, _: &'static str) -> Result<Epoch, Error> {
        time("now_s", self.0.now_s)
    }

    fn optional_number(&self, name: &'static str) -> Result<Option<f64>, Error> {
        Ok(match name {
            "current_time" => Some(self.time(name)?.seconds() as f64),
            _ => (self.0.limit != 0).then_some(self.0.limit as f64),
        })
    }

    fn flag(&self, _: &'static str) -> Result<bool, Error> {
        Ok(self.0.flags != 0)
    }

    fn unused_name(&self) -> Result<(), Error> {
        Ok(())
    }
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
