//! The bindings of C programs: the installed C library, called from Rust, blocking and through a queue.
//! The signatures are the crate's own, so nothing is declared here.

#![allow(unsafe_code, reason = "functions of C are called")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::mem::{self, MaybeUninit};
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, OnceLock};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use resty_session_postgres::capi::{self, RSP_NUL_TERMINATED, rsp_status};
use resty_session_postgres::op::Value as Argument;

use super::binding::{Binding, Conf, Failure};
use super::call::{Answer, Call, Listed};
use super::value::Value;
use crate::support::stage;

/// A function of the installed library.
fn symbol(name: &str) -> NonNull<c_void> {
    struct Library(NonNull<c_void>);
    // SAFETY: a handle of dlopen may be used by every thread.
    unsafe impl Send for Library {}
    // SAFETY: as above.
    unsafe impl Sync for Library {}
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let file = stage::root().join("lib/libresty_session_postgres.so");
        let path = CString::new(file.as_os_str().as_encoded_bytes()).expect("a path");
        // SAFETY: the library is this crate's, which asks for nothing when it is loaded.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        Library(NonNull::new(handle).unwrap_or_else(|| panic!("{}: not loaded", file.display())))
    });
    let name = CString::new(name).expect("a name");
    // SAFETY: a live handle and a C string.
    let symbol = unsafe { libc::dlsym(library.0.as_ptr(), name.as_ptr()) };
    NonNull::new(symbol).unwrap_or_else(|| panic!("no {name:?}"))
}

/// The symbol as what `like` is: a pointer to a function of that signature.
fn typed<F: Copy>(_like: F, symbol: NonNull<c_void>) -> F {
    assert_eq!(mem::size_of::<F>(), mem::size_of_val(&symbol));
    // SAFETY: the installed library is built of the sources that `like` comes from.
    unsafe { mem::transmute_copy(&symbol) }
}

macro_rules! any {
    ($argument:expr) => {
        _
    };
}

/// Calls the installed function of the name and the signature that one of the crate's has.
macro_rules! c {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let like: unsafe extern "C" fn($(any!($argument)),*) -> _ = capi::$name;
        let function = typed(like, symbol(stringify!($name)));
        // SAFETY: every pointer given in this file is to something that lives, of the stated length.
        unsafe { function($($argument),*) }
    }};
}

/// The same for a function that ends in a buffer for a message.
macro_rules! try_c {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let mut message = [0; 512];
        let status = c!($name($($argument,)* message.as_mut_ptr().cast(), message.len()));
        check(status, &message)
    }};
}

fn check(status: rsp_status, message: &[u8]) -> Result<(), Failure> {
    let message = || {
        let text = CStr::from_bytes_until_nul(message).expect("an end");
        text.to_str().expect("whole characters").to_owned()
    };
    match status {
        rsp_status::RSP_OK => Ok(()),
        rsp_status::RSP_INVALID_CONFIG
        | rsp_status::RSP_INVALID_ARGUMENT
        | rsp_status::RSP_NULL_POINTER => Err(Failure::Raised(message())),
        _ => Err(Failure::Failed(message())),
    }
}

/// A handle of the library, freed when it is dropped.
struct Handle<T> {
    pointer: NonNull<T>,
    free: fn(Box<T>),
}

impl<T> Handle<T> {
    /// What `make` writes to its output.
    fn new(
        make: impl FnOnce(&mut MaybeUninit<*mut T>) -> Result<(), Failure>,
        free: fn(Box<T>),
    ) -> Result<Self, Failure> {
        let mut out = MaybeUninit::new(ptr::null_mut());
        make(&mut out)?;
        // SAFETY: it is initialized in any case.
        let pointer = NonNull::new(unsafe { out.assume_init() }).expect("a handle");
        Ok(Handle { pointer, free })
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it lives until this is dropped.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: it came from the library, which gets it back and frees it.
        (self.free)(unsafe { Box::from_raw(self.pointer.as_ptr()) });
    }
}

/// A text with its length; the library refuses the length 0.
fn text(bytes: &[u8]) -> (*const c_char, usize) {
    match bytes {
        [] => (c"".as_ptr(), RSP_NUL_TERMINATED),
        bytes => (bytes.as_ptr().cast(), bytes.len()),
    }
}

fn setting(value: &Value) -> Vec<u8> {
    match value {
        Value::Boolean(flag) => flag.to_string().into(),
        Value::Number(number) => number.to_string().into(),
        Value::String(bytes) => bytes.clone(),
        Value::Table(items) => {
            let items: Vec<_> = items.iter().map(|(_, item)| setting(item)).collect();
            items.join(&b',')
        }
        Value::Nil => Vec::new(),
    }
}

fn storage(conf: &Conf) -> Result<Handle<capi::rsp_storage>, Failure> {
    let mut config = Handle::new(
        |out| try_c!(rsp_config_new(Some(out))),
        |config| c!(rsp_config_free(Some(config))),
    )?;
    for (key, value) in conf {
        let key = CString::new(&**key).expect("a key");
        let value = setting(value);
        let (value, len) = text(&value);
        // SAFETY: nothing else uses it.
        let config = unsafe { config.pointer.as_mut() };
        try_c!(rsp_config_set(Some(config), key.as_ptr(), value, len))?;
    }
    Handle::new(
        |out| try_c!(rsp_storage_new(Some(&*config), Some(out))),
        |storage| c!(rsp_storage_free(Some(storage))),
    )
}

fn request(call: &Call) -> Result<Handle<capi::rsp_request>, Failure> {
    let operation = CString::new(call.operation).expect("a name");
    let mut handle = Handle::new(
        |out| try_c!(rsp_request_new(operation.as_ptr(), Some(out))),
        |request| c!(rsp_request_free(Some(request))),
    )?;
    // SAFETY: nothing else uses it.
    let request = unsafe { handle.pointer.as_mut() };
    for (name, argument) in call.arguments() {
        let name = CString::new(name).expect("a name");
        let name = name.as_ptr();
        match argument {
            Argument::Nothing => {}
            Argument::Text(bytes) => {
                let (data, len) = text(bytes);
                try_c!(rsp_request_text(Some(request), name, data, len))?;
            }
            Argument::Number(number) => {
                try_c!(rsp_request_number(Some(request), name, *number))?;
            }
            Argument::Flag(flag) => try_c!(rsp_request_flag(Some(request), name, *flag))?,
            Argument::Pairs(pairs) => {
                for (audience, subject) in pairs {
                    let (audience, audience_len) = text(audience);
                    let (subject, subject_len) = text(subject);
                    try_c!(rsp_request_pair(
                        Some(request),
                        name,
                        audience,
                        audience_len,
                        subject,
                        subject_len
                    ))?;
                }
            }
            Argument::Other(kind) => panic!("C has no {kind}"),
        }
    }
    Ok(handle)
}

type Completion = Handle<capi::rsp_completion>;

fn free(completion: Box<capi::rsp_completion>) {
    c!(rsp_completion_free(Some(completion)));
}

/// The blocking function.
fn call_blocking(storage: &capi::rsp_storage, call: &Call) -> Result<Completion, Failure> {
    let request = request(call)?;
    Handle::new(|out| try_c!(rsp_call(Some(storage), Some(&*request), Some(out))), free)
}

/// The functions of event loops: submitted, waited for, drained.
fn call_through_queue(storage: &capi::rsp_storage, call: &Call) -> Result<Completion, Failure> {
    let queue = Handle::new(
        |out| try_c!(rsp_queue_new(Some(out))),
        |queue| c!(rsp_queue_free(Some(queue))),
    )?;
    let request = request(call)?;
    let user = ptr::null_mut();
    try_c!(rsp_submit(Some(storage), Some(&*queue), Some(&*request), user, None))?;
    let descriptor = c!(rsp_queue_fd(Some(&*queue)));
    // SAFETY: open until the queue is freed.
    let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let mut descriptors = [PollFd::new(descriptor, PollFlags::POLLIN)];
    let ready = poll(&mut descriptors, PollTimeout::from(30_000_u16)).expect("poll");
    assert_eq!(ready, 1, "no completion comes");
    let mut count = MaybeUninit::new(0);
    let completion = Handle::new(
        |out| {
            let out = out.as_mut_ptr();
            try_c!(rsp_queue_drain(Some(&*queue), out, 1, Some(&mut count)))
        },
        free,
    )?;
    // SAFETY: it is initialized in any case.
    assert_eq!(unsafe { count.assume_init() }, 1);
    try_c!(rsp_completion_status(Some(&*completion)))?;
    Ok(completion)
}

/// A text of a completion, copied.
macro_rules! read_text {
    ($name:ident($($argument:expr),*)) => {{
        let mut len = MaybeUninit::new(0);
        let data: *const c_char = c!($name($($argument,)* Some(&mut len)));
        // SAFETY: it is initialized in any case.
        let len: usize = unsafe { len.assume_init() };
        // SAFETY: the library has said that there are so many bytes.
        (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec())
    }};
}

/// A time of a completion.
macro_rules! read_time {
    ($name:ident($($argument:expr),*)) => {{
        let mut seconds = MaybeUninit::new(0);
        let is_known: bool = c!($name($($argument,)* Some(&mut seconds)));
        // SAFETY: it is initialized in any case.
        is_known.then_some(unsafe { seconds.assume_init() })
    }};
}

fn answer(operation: &str, completion: &capi::rsp_completion) -> Answer {
    let completion = Some(completion);
    let readable = |text: Option<Vec<u8>>| String::from_utf8(text.expect("a text")).expect("text");
    let sessions = || 0..c!(rsp_completion_sessions(completion));
    let key = |index| readable(read_text!(rsp_completion_session_key(completion, index)));
    let expires = |index| read_time!(rsp_completion_session_expires(completion, index));
    match operation {
        "set" | "delete" | "health" => Answer::Done,
        "get" | "state" => {
            let value = read_text!(rsp_completion_value(completion));
            assert_eq!(c!(rsp_completion_found(completion)), value.is_some());
            Answer::Value(value)
        }
        "touch" => Answer::Found(c!(rsp_completion_found(completion))),
        "read_metadata" => {
            let expiry = |index| (key(index), expires(index).expect("a session"));
            Answer::Expiries(sessions().map(expiry).collect())
        }
        "list" => {
            let listed = |index| Listed {
                key: key(index),
                name: readable(read_text!(rsp_completion_session_name(completion, index))),
                expires: expires(index).expect("a session"),
                created: read_time!(rsp_completion_session_created(completion, index)),
            };
            Answer::Sessions(sessions().map(listed).collect())
        }
        "check" | "migrate" => {
            let finding = |index| {
                let problem = read_text!(rsp_completion_finding_problem(completion, index));
                let repair = read_text!(rsp_completion_finding_repair(completion, index));
                let advice = c!(rsp_completion_finding_is_advice(completion, index));
                (readable(problem), readable(repair), advice)
            };
            let findings = 0..c!(rsp_completion_findings(completion));
            Answer::Findings(findings.map(finding).collect())
        }
        _ => Answer::Count(c!(rsp_completion_count(completion))),
    }
}

pub struct CBinding(fn(&capi::rsp_storage, &Call) -> Result<Completion, Failure>);

pub fn open() -> Arc<CBinding> {
    Arc::new(CBinding(call_blocking))
}

pub fn open_queue() -> Arc<CBinding> {
    Arc::new(CBinding(call_through_queue))
}

impl Binding for CBinding {
    fn call(&self, conf: &Conf, call: &Call) -> Result<Answer, Failure> {
        let completion = (self.0)(&*storage(conf)?, call)?;
        Ok(answer(call.operation, &completion))
    }
}
