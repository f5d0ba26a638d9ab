//! The doors for C programs: the blocking functions, and those of the event loops.

#![allow(unsafe_code, reason = "functions of C are called")]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resty_session_postgres::capi::{self, rsp_status};

use super::c_library::{Message, any, call, try_call};
use super::c_library::{
    answer, c_request, c_set, pair, sessions, symbol, time, typed, value, with_storage,
};
use super::door::{Conf, Door, Failure, Pairs, Set};
use super::request::{Answer, Request};

/// The blocking functions.
pub struct CDoor;

pub fn open() -> Arc<CDoor> {
    Arc::new(CDoor)
}

impl Door for CDoor {
    fn set(&self, conf: &Conf, set: &Set) -> Result<(), Failure> {
        let pairs: Vec<_> = set.metadata.unwrap_or_default().iter().map(pair).collect();
        let set = c_set(set, &pairs);
        with_storage(conf, |storage| {
            try_call!(rsp_storage_set(storage, &raw const set))
        })
    }

    fn get(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        now: Option<f64>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (key, len) = (key.as_ptr().cast(), key.len());
        with_storage(conf, |storage| {
            let mut found = ptr::null_mut();
            try_call!(rsp_storage_get(
                storage,
                key,
                len,
                time(now),
                &raw mut found
            ))?;
            let copied = value(found);
            call!(rsp_bytes_free(found));
            Ok(copied)
        })
    }

    fn delete(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        _: Option<f64>,
        _: Option<Pairs>,
    ) -> Result<(), Failure> {
        let (key, len) = (key.as_ptr().cast(), key.len());
        with_storage(conf, |storage| {
            try_call!(rsp_storage_delete(storage, key, len))
        })
    }

    fn read_metadata(
        &self,
        conf: &Conf,
        _: &[u8],
        audience: &[u8],
        subject: &[u8],
        now: f64,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let (audience, audience_len) = (audience.as_ptr().cast(), audience.len());
        let (subject, subject_len) = (subject.as_ptr().cast(), subject.len());
        with_storage(conf, |storage| {
            let mut found = ptr::null_mut();
            try_call!(rsp_storage_read_metadata(
                storage,
                audience,
                audience_len,
                subject,
                subject_len,
                time(Some(now)),
                &raw mut found,
            ))?;
            let copied = sessions(found);
            call!(rsp_metadata_free(found));
            Ok(copied)
        })
    }

    fn ask(&self, conf: &Conf, request: &Request) -> Result<Answer, Failure> {
        let made = c_request(request);
        with_storage(conf, |storage| {
            let mut completion = ptr::null_mut();
            try_call!(rsp_storage_call(
                storage,
                &raw const made,
                &raw mut completion
            ))?;
            let copied = answer(request, completion);
            call!(rsp_completion_free(completion));
            Ok(copied)
        })
    }
}

/// The functions of the event loops: submitted, waited for, drained.
pub struct QueueDoor;

pub fn open_queue() -> Arc<QueueDoor> {
    Arc::new(QueueDoor)
}

/// Waits for one completion and reads what came of it.
fn through_queue<T>(
    conf: &Conf,
    submit: impl FnOnce(*const capi::rsp_storage, *const capi::rsp_queue) -> Result<(), Failure>,
    read: impl FnOnce(*const capi::rsp_completion) -> T,
) -> Result<T, Failure> {
    let mut queue = ptr::null_mut();
    assert_eq!(call!(rsp_queue_new(&raw mut queue)), rsp_status::RSP_OK);
    let submitted = with_storage(conf, |storage| submit(storage, queue));
    let result = submitted.and_then(|()| {
        let descriptor = call!(rsp_queue_fd(queue.cast_const()));
        // SAFETY: open until the queue is freed.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
        let mut descriptors = [PollFd::new(descriptor, PollFlags::POLLIN)];
        let ready = poll(&mut descriptors, PollTimeout::from(30_000_u16)).expect("poll");
        assert_eq!(ready, 1, "nothing comes");
        let (mut completion, mut count) = (ptr::null_mut(), 0);
        let drained = call!(rsp_queue_drain(
            queue.cast_const(),
            &raw mut completion,
            1,
            &raw mut count
        ));
        assert_eq!((drained, count), (rsp_status::RSP_OK, 1));
        let status = try_call!(rsp_completion_status(completion.cast_const()));
        let result = status.map(|()| read(completion));
        call!(rsp_completion_free(completion));
        result
    });
    call!(rsp_queue_free(queue));
    result
}

const NOBODY: *mut c_void = ptr::null_mut();
const NO_TICKET: *mut u64 = ptr::null_mut();

impl Door for QueueDoor {
    fn set(&self, conf: &Conf, set: &Set) -> Result<(), Failure> {
        let pairs: Vec<_> = set.metadata.unwrap_or_default().iter().map(pair).collect();
        let set = c_set(set, &pairs);
        let submit = |storage, queue| {
            let set = &raw const set;
            try_call!(rsp_storage_submit_set(
                storage, queue, set, NOBODY, NO_TICKET
            ))
        };
        through_queue(conf, submit, |_| ())
    }

    fn get(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        now: Option<f64>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (key, len, now) = (key.as_ptr().cast(), key.len(), time(now));
        let submit = |storage, queue| {
            try_call!(rsp_storage_submit_get(
                storage, queue, key, len, now, NOBODY, NO_TICKET
            ))
        };
        through_queue(conf, submit, |completion| {
            value(call!(rsp_completion_value(completion)))
        })
    }

    fn delete(
        &self,
        conf: &Conf,
        _: &[u8],
        key: &[u8],
        _: Option<f64>,
        _: Option<Pairs>,
    ) -> Result<(), Failure> {
        let (key, len) = (key.as_ptr().cast(), key.len());
        let submit = |storage, queue| {
            try_call!(rsp_storage_submit_delete(
                storage, queue, key, len, NOBODY, NO_TICKET
            ))
        };
        through_queue(conf, submit, |_| ())
    }

    fn read_metadata(
        &self,
        conf: &Conf,
        _: &[u8],
        audience: &[u8],
        subject: &[u8],
        now: f64,
    ) -> Result<BTreeMap<String, i64>, Failure> {
        let (audience, audience_len) = (audience.as_ptr().cast(), audience.len());
        let (subject, subject_len) = (subject.as_ptr().cast(), subject.len());
        let submit = |storage, queue| {
            try_call!(rsp_storage_submit_read_metadata(
                storage,
                queue,
                audience,
                audience_len,
                subject,
                subject_len,
                time(Some(now)),
                NOBODY,
                NO_TICKET,
            ))
        };
        through_queue(conf, submit, |completion| {
            sessions(call!(rsp_completion_metadata(completion)))
        })
    }

    fn ask(&self, conf: &Conf, request: &Request) -> Result<Answer, Failure> {
        let made = c_request(request);
        let submit = |storage, queue| {
            let made = &raw const made;
            try_call!(rsp_storage_submit(storage, queue, made, NOBODY, NO_TICKET))
        };
        through_queue(conf, submit, |completion| answer(request, completion))
    }
}
