//! Sequences of calls on a few handles, without a database: requests for any operation with any
//! arguments, NULL or live handles in any combination, freed in any order.

#![no_main]

mod caller;

use arbitrary::Arbitrary;
use caller::{Given, Name, Text, made};
use libfuzzer_sys::fuzz_target;
use resty_session_postgres::capi::*;
use resty_session_postgres::ops::KINDS;
use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;

/// A call of the C interface, as its header allows it.
macro_rules! sound {
    ($call:expr) => {{
        // SAFETY: handles are NULL or live; texts and buffers are as long as is said, and texts end in a
        // NUL where that is said.
        unsafe { $call }
    }};
}

#[derive(Arbitrary, Debug)]
enum Argument<'a> {
    Text(Text<'a>),
    Number(f64),
    Flag(bool),
    Pair(Text<'a>, Text<'a>),
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    NewStorage,
    FreeStorage,
    NewQueue,
    FreeQueue,
    NewRequest(Name<'a>),
    Set(Name<'a>, Argument<'a>),
    Clear,
    FreeRequest,
    RunRequest,
    Submit,
    Get(Text<'a>),
    Save(Text<'a>, Text<'a>, Text<'a>, f64),
    Delete(Text<'a>),
    Metrics,
    Password(Text<'a>),
    Drain(u8),
    ReadCompletion(u8, usize),
    FreeCompletion(u8),
    TakeLog,
    StatusName(u32),
}

/// The handles.
#[derive(Default)]
struct World {
    storage: Option<Box<rsp_storage>>,
    queue: Option<Box<rsp_queue>>,
    request: Option<Box<rsp_request>>,
    /// The parameters of the request.
    parameters: Vec<&'static str>,
    #[allow(clippy::vec_box, reason = "the library gets each box back")]
    completions: Vec<Box<rsp_completion>>,
}

const OK: rsp_status = rsp_status::RSP_OK;

/// A storage whose server is nowhere, so that its operations fail, and soon.
fn new_storage() -> Option<Box<rsp_storage>> {
    let (none, end) = (ptr::null_mut(), RSP_NUL_TERMINATED);
    let mut out = MaybeUninit::new(ptr::null_mut());
    let status = sound!(rsp_config_new(Some(&mut out), none, 0));
    let mut config = made(status, &out);
    let dsn = c"host=/nowhere connect_timeout=2".as_ptr();
    let status = sound!(rsp_config_dsn(config.as_deref_mut(), dsn, end, none, 0));
    assert_eq!(status, OK);
    for (key, value) in [(c"connect_timeout", c"1"), (c"backlog", c"8")] {
        let (key, value) = (key.as_ptr(), value.as_ptr());
        let config = config.as_deref_mut();
        assert_eq!(sound!(rsp_config_set(config, key, value, end, none, 0)), OK);
    }
    let mut out = MaybeUninit::new(ptr::null_mut());
    let status = sound!(rsp_storage_new(config.as_deref(), Some(&mut out), none, 0));
    rsp_config_free(config);
    made(status, &out)
}

impl World {
    fn run(&mut self, call: &Call) {
        let mut buffer = [0_u8; 40];
        let (message, size) = (buffer.as_mut_ptr().cast(), buffer.len());
        let storage = self.storage.as_deref();
        let user = ptr::dangling_mut();
        let status = match call {
            Call::NewStorage => {
                rsp_storage_free(self.storage.take());
                self.storage = new_storage();
                OK
            }
            Call::FreeStorage => {
                rsp_storage_free(self.storage.take());
                OK
            }
            Call::NewQueue => {
                rsp_queue_free(self.queue.take());
                let mut out = MaybeUninit::new(ptr::null_mut());
                let status = sound!(rsp_queue_new(Some(&mut out), message, size));
                self.queue = made(status, &out);
                status
            }
            Call::FreeQueue => {
                rsp_queue_free(self.queue.take());
                OK
            }
            Call::NewRequest(name) => {
                let known: Vec<_> = KINDS.iter().map(|kind| kind.spec.name).collect();
                let name = name.find(&known);
                rsp_request_free(self.request.take());
                let mut out = MaybeUninit::new(ptr::null_mut());
                let (name, place) = (name, Some(&mut out));
                let status = sound!(rsp_request_new(name.as_ptr(), place, message, size));
                self.request = made(status, &out);
                let kind = KINDS.iter().find(|kind| kind.spec.name.as_bytes() == name.as_bytes());
                let params = kind.iter().flat_map(|kind| kind.spec.params);
                self.parameters = params.map(|param| param.name).collect();
                status
            }
            Call::Set(name, argument) => {
                let name = name.find(&self.parameters);
                set(self.request.as_deref_mut(), &name, argument, message, size)
            }
            Call::Clear => {
                rsp_request_clear(self.request.as_deref_mut());
                OK
            }
            Call::FreeRequest => {
                rsp_request_free(self.request.take());
                OK
            }
            Call::RunRequest => {
                let mut out = MaybeUninit::new(ptr::null_mut());
                let (request, place) = (self.request.as_deref(), Some(&mut out));
                let status = sound!(rsp_call(storage, request, place, message, size));
                // There is no server.
                assert!(made(status, &out).is_none());
                status
            }
            Call::Submit => {
                let (queue, request) = (self.queue.as_deref(), self.request.as_deref());
                let mut ticket = MaybeUninit::new(0);
                let place = Some(&mut ticket);
                let status =
                    sound!(rsp_submit(storage, queue, request, user, place, message, size));
                // SAFETY: it was initialized.
                assert_eq!(unsafe { ticket.assume_init() } != 0, status == OK);
                status
            }
            Call::Get(key) => {
                let key = Given::of(key);
                let mut out = MaybeUninit::new(ptr::null_mut());
                let (place, data) = (Some(&mut out), key.data());
                let status = sound!(rsp_get(storage, data, key.len, place, message, size));
                assert!(made(status, &out).is_none());
                status
            }
            Call::Save(name, key, value, ttl) => {
                let [name, key, value] = [name, key, value].map(Given::of);
                sound!(rsp_set(
                    storage,
                    name.data(),
                    name.len,
                    key.data(),
                    key.len,
                    value.data(),
                    value.len,
                    *ttl,
                    message,
                    size
                ))
            }
            Call::Delete(key) => {
                let key = Given::of(key);
                sound!(rsp_delete(storage, key.data(), key.len, message, size))
            }
            Call::Metrics => {
                let mut out = MaybeUninit::new(ptr::null_mut());
                let status = sound!(rsp_storage_metrics(storage, Some(&mut out), message, size));
                rsp_completion_free(made(status, &out));
                status
            }
            Call::Password(password) => {
                let text = Given::of(password);
                let (data, len) = (text.data(), text.len);
                sound!(rsp_storage_set_password(storage, data, len, message, size))
            }
            Call::Drain(capacity) => self.drain(usize::from(*capacity), message, size),
            Call::ReadCompletion(index, item) => {
                let completion = self.completions.get(usize::from(*index)).map(|it| &**it);
                // Each has failed.
                assert!(rsp_completion_value(completion, None).is_null());
                assert!(!rsp_completion_found(completion));
                assert_eq!(rsp_completion_count(completion), 0);
                assert_eq!(rsp_completion_sessions(completion), 0);
                assert!(rsp_completion_session_key(completion, *item, None).is_null());
                assert!(!rsp_completion_session_created(completion, *item, None));
                assert!(rsp_completion_finding_repair(completion, *item, None).is_null());
                let is_there = completion.is_some();
                assert_eq!(rsp_completion_ticket(completion) != 0, is_there);
                assert_eq!(rsp_completion_user(completion) == user, is_there);
                let status = sound!(rsp_completion_status(completion, message, size));
                assert_ne!(status, OK);
                status
            }
            Call::FreeCompletion(index) => {
                if usize::from(*index) < self.completions.len() {
                    let completion = self.completions.remove(usize::from(*index));
                    rsp_completion_free(Some(completion));
                }
                OK
            }
            Call::TakeLog => {
                let log = rsp_log_take();
                if log.is_some() {
                    assert!(!rsp_log_line(log.as_deref(), 0, None).is_null());
                }
                rsp_log_free(log);
                OK
            }
            Call::StatusName(number) => {
                assert!(!rsp_status_name(*number).is_null());
                OK
            }
        };
        assert_ne!(status, rsp_status::RSP_INTERNAL);
    }

    fn drain(&mut self, capacity: usize, message: *mut c_char, size: usize) -> rsp_status {
        let mut taken = vec![ptr::null_mut(); capacity.max(1)];
        let mut count = MaybeUninit::new(0);
        let (queue, places) = (self.queue.as_deref(), taken.as_mut_ptr());
        let count_out = Some(&mut count);
        let status = sound!(rsp_queue_drain(queue, places, capacity, count_out, message, size));
        // SAFETY: it was initialized.
        let count: usize = unsafe { count.assume_init() };
        assert!(count <= capacity);
        // SAFETY: so many were handed over.
        let owned = taken[..count].iter().map(|&it| unsafe { Box::from_raw(it) });
        self.completions.extend(owned);
        status
    }
}

fn set(
    request: Option<&mut rsp_request>,
    name: &CString,
    argument: &Argument,
    message: *mut c_char,
    size: usize,
) -> rsp_status {
    let name = name.as_ptr();
    match argument {
        Argument::Text(text) => {
            let text = Given::of(text);
            let (data, len) = (text.data(), text.len);
            sound!(rsp_request_text(request, name, data, len, message, size))
        }
        Argument::Number(number) => {
            sound!(rsp_request_number(request, name, *number, message, size))
        }
        Argument::Flag(flag) => sound!(rsp_request_flag(request, name, *flag, message, size)),
        Argument::Pair(audience, subject) => {
            let [audience, subject] = [audience, subject].map(Given::of);
            sound!(rsp_request_pair(
                request,
                name,
                audience.data(),
                audience.len,
                subject.data(),
                subject.len,
                message,
                size
            ))
        }
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let mut world = World::default();
    for call in calls.iter().take(50) {
        world.run(call);
    }
    rsp_storage_free(world.storage);
    rsp_request_free(world.request);
    for completion in world.completions {
        rsp_completion_free(Some(completion));
    }
    rsp_queue_free(world.queue);
});
