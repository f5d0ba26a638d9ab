//! From arguments to operations, and from outputs to results: what the blocking functions and those
//! of the event loops share.

use super::bytes::rsp_bytes;
use super::metadata::rsp_metadata;
use super::pointer;
use super::status::Failure;
use super::time;
use crate::op::{Get, Operation, Output, ReadMetadata};
use std::ffi::c_char;

/// # Safety
///
/// `key` is NULL or valid for reads of `len` bytes.
pub(super) unsafe fn get(key: *const c_char, len: usize, now_s: i64) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise.
    let key = unsafe { pointer::key("key", key, len) }?;
    let now = time("now_s", now_s)?;
    Ok(Operation::Get(Get { key, now }))
}

/// # Safety
///
/// `key` is NULL or valid for reads of `len` bytes.
pub(super) unsafe fn delete(key: *const c_char, len: usize) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise.
    let key = unsafe { pointer::key("key", key, len) }?;
    Ok(Operation::Delete { key })
}

/// # Safety
///
/// `audience` and `subject` are NULL or valid for reads of their lengths.
pub(super) unsafe fn read_metadata(
    audience: *const c_char,
    audience_len: usize,
    subject: *const c_char,
    subject_len: usize,
    now_s: i64,
) -> Result<Operation, Failure> {
    // SAFETY: the caller's promise.
    let audience = unsafe { pointer::text("audience", audience, audience_len) }?;
    // SAFETY: the caller's promise.
    let subject = unsafe { pointer::text("subject", subject, subject_len) }?;
    Ok(Operation::ReadMetadata(ReadMetadata {
        audience,
        subject,
        now: time("now_s", now_s)?,
    }))
}

/// What an operation answers, as the caller gets it.
#[derive(Default)]
pub(super) struct Results {
    pub(super) value: Option<rsp_bytes>,
    pub(super) metadata: Option<rsp_metadata>,
    pub(super) count: u64,
}

impl From<Output> for Results {
    fn from(output: Output) -> Self {
        match output {
            Output::Stored | Output::Deleted => Results::default(),
            Output::Value(value) => Results {
                value: value.map(rsp_bytes::new),
                ..Results::default()
            },
            Output::Metadata(sessions) => Results {
                metadata: Some(sessions.into_iter().collect()),
                ..Results::default()
            },
            Output::Count(count) => Results {
                count,
                ..Results::default()
            },
            Output::Findings(findings) => Results {
                count: findings.len() as u64,
                value: Some(rsp_bytes::new(
                    findings
                        .iter()
                        .map(|finding| format!("{}\n{}\n", finding.problem, finding.repair))
                        .collect(),
                )),
                ..Results::default()
            },
            Output::Swept(swept) => Results {
                count: swept.removed.into(),
                ..Results::default()
            },
            Output::Touched(found) => Results {
                count: found.into(),
                ..Results::default()
            },
            Output::Sessions(sessions) => Results {
                count: sessions.len() as u64,
                metadata: Some(sessions.into_iter().collect()),
                ..Results::default()
            },
        }
    }
}
