//! `rsp_completion`: the outcome of an operation.

use super::guard::{guard, guard_status};
use super::pointer::{Message, required};
use super::status::{Failure, rsp_status};
use crate::completion::Ticket;
use crate::op::{Answer, Epoch, Finding, Outcome};
use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// The outcome of an operation. Which functions have something to return depends on the operation;
/// the others return NULL, 0 or false.
pub struct rsp_completion {
    ticket: Ticket,
    user: *mut c_void,
    /// How many sessions the request asked for at most, if it lists a page.
    limit: Option<usize>,
    /// Its texts end in NUL.
    outcome: Outcome,
}

/// What a queue remembers of a request until its outcome comes.
pub(super) struct Requested {
    pub(super) user: *mut c_void,
    pub(super) limit: Option<usize>,
}

impl rsp_completion {
    pub(super) fn new(ticket: Ticket, requested: Requested, mut outcome: Outcome) -> Self {
        if let Ok(answer) = &mut outcome {
            end_texts(answer);
        }
        let Requested { user, limit } = requested;
        rsp_completion { ticket, user, limit, outcome }
    }

    /// A completion for the caller of a blocking function.
    pub(super) fn of_call(limit: Option<usize>, answer: Answer) -> *mut Self {
        let requested = Requested { user: ptr::null_mut(), limit };
        Box::into_raw(Box::new(Self::new(0, requested, Ok(answer))))
    }
}

fn end_texts(answer: &mut Answer) {
    let end = |text: &mut String| text.push('\0');
    match answer {
        Answer::Done | Answer::Found(_) | Answer::Count(_) => {}
        Answer::Value(value) => value.iter_mut().for_each(end),
        Answer::Expiries(sessions) => sessions.iter_mut().for_each(|(key, _)| end(key)),
        Answer::Sessions(sessions) => {
            sessions.iter_mut().flat_map(|it| [&mut it.key, &mut it.name]).for_each(end);
        }
        Answer::Findings(findings) => {
            findings.iter_mut().for_each(|it| {
                end(&mut it.problem);
                it.repair.iter_mut().for_each(end);
            });
        }
    }
}

fn answer(completion: Option<&rsp_completion>) -> Option<&Answer> {
    completion?.outcome.as_ref().ok()
}

/// A listed session: its key, name, expiry and creation.
type Listed<'a> = (&'a String, Option<&'a String>, Epoch, Option<Epoch>);

fn session(completion: Option<&rsp_completion>, index: usize) -> Option<Listed<'_>> {
    match answer(completion)? {
        Answer::Expiries(sessions) => {
            sessions.get(index).map(|(key, expires)| (key, None, *expires, None))
        }
        Answer::Sessions(sessions) => {
            sessions.get(index).map(|it| (&it.key, Some(&it.name), it.expires, it.created))
        }
        _ => None,
    }
}

fn findings(completion: Option<&rsp_completion>) -> &[Finding] {
    match answer(completion) {
        Some(Answer::Findings(findings)) => findings,
        _ => &[],
    }
}

/// Gives a text that ends in NUL to the caller.
fn text(text: Option<&String>, len_out: Option<&mut MaybeUninit<usize>>) -> *const c_char {
    let Some(text) = text else {
        return ptr::null();
    };
    if let Some(out) = len_out {
        out.write(text.len() - 1);
    }
    text.as_ptr().cast()
}

/// Gives a point in time to the caller, and says whether there is one.
fn time(time: Option<Epoch>, time_out: Option<&mut MaybeUninit<i64>>) -> bool {
    if let (Some(time), Some(out)) = (time, time_out) {
        out.write(time.seconds());
    }
    time.is_some()
}

/// Returns the status of the operation, with its message. RSP_OK means that it was carried out, and
/// that a write is committed.
///
/// # Safety
/// The conventions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsp_completion_status(
    completion: Option<&rsp_completion>,
    message: *mut c_char,
    message_size: usize,
) -> rsp_status {
    // SAFETY: the conventions.
    guard_status(unsafe { Message::new(message, message_size) }, || {
        match &required("completion", completion)?.outcome {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::Core(error.clone())),
        }
    })
}

/// Returns the pointer that was given to rsp_submit.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_user(completion: Option<&rsp_completion>) -> *mut c_void {
    guard(ptr::null_mut(), || completion.map_or(ptr::null_mut(), |completion| completion.user))
}

/// Returns the ticket that rsp_submit gave out; 0 if the operation was not submitted.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_ticket(completion: Option<&rsp_completion>) -> u64 {
    guard(0, || completion.map_or(0, |completion| completion.ticket))
}

/// Returns the data of a session (get), or NULL if there is no live session.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_value(
    completion: Option<&rsp_completion>,
    len_out: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(ptr::null(), || match answer(completion) {
        Some(Answer::Value(value)) => text(value.as_ref(), len_out),
        _ => ptr::null(),
    })
}

/// Returns whether there is such a live session (get, touch).
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_found(completion: Option<&rsp_completion>) -> bool {
    guard(false, || {
        matches!(answer(completion), Some(Answer::Found(true) | Answer::Value(Some(_))))
    })
}

/// Returns the number that an operation answers: of counted, revoked or deleted sessions.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_count(completion: Option<&rsp_completion>) -> u64 {
    guard(0, || match answer(completion) {
        Some(Answer::Count(count)) => *count,
        _ => 0,
    })
}

/// Returns the number of listed sessions (list, read_metadata). rsp_completion_limited says whether
/// there may be more.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_sessions(completion: Option<&rsp_completion>) -> usize {
    guard(0, || match answer(completion) {
        Some(Answer::Expiries(sessions)) => sessions.len(),
        Some(Answer::Sessions(sessions)) => sessions.len(),
        _ => 0,
    })
}

/// Returns whether a list ended at its limit, which is 1000 if the request sets none. There may then be
/// more sessions: set the parameter "after_key" to the last key of this list, and call again.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_limited(completion: Option<&rsp_completion>) -> bool {
    guard(false, || match (answer(completion), completion.and_then(|it| it.limit)) {
        (Some(Answer::Sessions(sessions)), Some(limit)) => sessions.len() >= limit,
        _ => false,
    })
}

/// Returns the key of a listed session, or NULL if there is no session of that index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_session_key(
    completion: Option<&rsp_completion>,
    index: usize,
    len_out: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(ptr::null(), || text(session(completion, index).map(|(key, ..)| key), len_out))
}

/// Returns the (cookie's) name of a listed session, or NULL if the operation does not read names
/// (read_metadata).
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_session_name(
    completion: Option<&rsp_completion>,
    index: usize,
    len_out: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(ptr::null(), || text(session(completion, index).and_then(|(_, name, ..)| name), len_out))
}

/// Reads the second in which a listed session expires. Returns false if there is no session of that
/// index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_session_expires(
    completion: Option<&rsp_completion>,
    index: usize,
    expires_out: Option<&mut MaybeUninit<i64>>,
) -> bool {
    guard(false, || {
        let expires = session(completion, index).map(|(_, _, expires, _)| expires);
        time(expires, expires_out)
    })
}

/// Reads when the key of a listed session was first saved. Returns false if that is unknown: only
/// list reads it, from a sessions table with the column "created".
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_session_created(
    completion: Option<&rsp_completion>,
    index: usize,
    created_out: Option<&mut MaybeUninit<i64>>,
) -> bool {
    guard(false, || {
        let created = session(completion, index).and_then(|(.., created)| created);
        time(created, created_out)
    })
}

/// Returns the number of findings about the tables (check), or of changes to them (migrate).
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_findings(completion: Option<&rsp_completion>) -> usize {
    guard(0, || findings(completion).len())
}

/// Returns what a finding says is wrong or slow, or NULL if there is no finding of that index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_finding_problem(
    completion: Option<&rsp_completion>,
    index: usize,
    len_out: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(ptr::null(), || text(findings(completion).get(index).map(|it| &it.problem), len_out))
}

/// Returns the statements that repair what a finding describes, or NULL if there are none, or no
/// finding of that index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_finding_repair(
    completion: Option<&rsp_completion>,
    index: usize,
    len_out: Option<&mut MaybeUninit<usize>>,
) -> *const c_char {
    guard(ptr::null(), || {
        text(findings(completion).get(index).and_then(|it| it.repair.as_ref()), len_out)
    })
}

/// Returns whether a finding is advice: nothing is wrong. False if there is no finding of that index.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_finding_is_advice(
    completion: Option<&rsp_completion>,
    index: usize,
) -> bool {
    guard(false, || findings(completion).get(index).is_some_and(|it| it.advice))
}

/// Frees a completion.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_completion_free(completion: Option<Box<rsp_completion>>) {
    guard((), || drop(completion));
}
