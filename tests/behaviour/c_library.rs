//! The installed C library, called from Rust. The signatures are the crate's own, so nothing is
//! declared here.

#![allow(unsafe_code, reason = "functions of C are called")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::mem;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::OnceLock;

use nix::libc;
use resty_session_postgres::capi::{self, RSP_NOW, rsp_pair, rsp_request, rsp_set, rsp_status};

use super::door::{Conf, Failure, Set};
use super::request::{Answer, Listed, Request};
use super::value::Value;
use crate::support::stage;

/// A function of the installed library.
pub(super) fn symbol(name: &str) -> NonNull<c_void> {
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
pub(super) fn typed<F: Copy>(_like: F, symbol: NonNull<c_void>) -> F {
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
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let like: unsafe extern "C" fn($(any!($argument)),*) -> _ = capi::$name;
        let function = typed(like, symbol(stringify!($name)));
        // SAFETY: every pointer given in this file is to something that lives, of the stated length.
        unsafe { function($($argument),*) }
    }};
}

type Handle<T> = *mut T;

/// A call's buffer for the message.
pub(super) struct Message([u8; 512]);

impl Message {
    pub(super) fn new() -> Self {
        Message([0; 512])
    }

    pub(super) fn buffer(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn check(&self, status: rsp_status) -> Result<(), Failure> {
        let message = || {
            let text = CStr::from_bytes_until_nul(&self.0).expect("an end");
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
}

/// Calls a function that ends in a buffer for a message.
macro_rules! try_call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let mut message = Message::new();
        let status = call!($name($($argument,)* message.buffer(), 512));
        message.check(status)
    }};
}

/// Copied bytes of the library.
fn copy(data: *const c_char, len: usize) -> Vec<u8> {
    // SAFETY: the library has said that there are so many.
    unsafe { slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec()
}

pub(super) fn value(bytes: *const capi::rsp_bytes) -> Option<Vec<u8>> {
    (!bytes.is_null()).then(|| copy(call!(rsp_bytes_data(bytes)), call!(rsp_bytes_len(bytes))))
}

pub(super) fn sessions(metadata: *const capi::rsp_metadata) -> BTreeMap<String, i64> {
    let read = |index| {
        let (mut key, mut len, mut expires) = (ptr::null(), 0, 0);
        let status = call!(rsp_metadata_get(
            metadata,
            index,
            &raw mut key,
            &raw mut len,
            &raw mut expires
        ));
        assert_eq!(status, rsp_status::RSP_OK);
        (String::from_utf8(copy(key, len)).expect("text"), expires)
    };
    (0..call!(rsp_metadata_len(metadata))).map(read).collect()
}

fn text(value: &Value) -> Vec<u8> {
    match value {
        Value::Boolean(flag) => flag.to_string().into(),
        Value::Number(number) => number.to_string().into(),
        Value::String(bytes) => bytes.clone(),
        Value::Table(items) => {
            let items: Vec<_> = items.iter().map(|(_, item)| text(item)).collect();
            items.join(&b',')
        }
        Value::Nil => Vec::new(),
    }
}

pub(super) fn with_storage<T>(
    conf: &Conf,
    body: impl FnOnce(*const capi::rsp_storage) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut config: Handle<capi::rsp_config> = ptr::null_mut();
    assert_eq!(call!(rsp_config_new(&raw mut config)), rsp_status::RSP_OK);
    for (key, value) in conf {
        let value = text(value);
        let (key, key_len) = (key.as_ptr().cast(), key.len());
        let (value, value_len) = (value.as_ptr().cast(), value.len());
        try_call!(rsp_config_set(config, key, key_len, value, value_len))?;
    }
    let mut storage: Handle<capi::rsp_storage> = ptr::null_mut();
    let made = try_call!(rsp_storage_new(config.cast_const(), &raw mut storage));
    call!(rsp_config_free(config));
    made?;
    let result = body(storage);
    call!(rsp_storage_free(storage));
    result
}

pub(super) fn time(seconds: Option<f64>) -> i64 {
    seconds.map_or(RSP_NOW, |seconds| seconds.floor() as i64)
}

pub(super) fn pair((audience, subject): &(&[u8], &[u8])) -> rsp_pair {
    rsp_pair {
        audience: audience.as_ptr().cast(),
        audience_len: audience.len(),
        subject: subject.as_ptr().cast(),
        subject_len: subject.len(),
    }
}

/// The interface counts in whole seconds; a caller that has fractions rounds the ends down.
pub(super) fn c_set(set: &Set, pairs: &[rsp_pair]) -> rsp_set {
    let mut request = mem::MaybeUninit::<rsp_set>::uninit();
    let status = call!(rsp_set_init(request.as_mut_ptr(), size_of::<rsp_set>()));
    assert_eq!(status, rsp_status::RSP_OK);
    // SAFETY: just initialized.
    let mut request = unsafe { request.assume_init() };
    let now = time(Some(set.now));
    request.name = set.name.as_ptr().cast();
    request.name_len = set.name.len();
    request.key = set.key.as_ptr().cast();
    request.key_len = set.key.len();
    request.value = set.value.as_ptr().cast();
    request.value_len = set.value.len();
    request.now_s = now;
    request.ttl_s = time(Some(set.now + set.ttl)) - now;
    if let Some(old) = set.old_key {
        request.old_key = old.as_ptr().cast();
        request.old_key_len = old.len();
        request.stale_ttl_s = time(Some(set.now + set.stale_ttl.unwrap_or_default())) - now;
    }
    if set.remember == Some(true) {
        request.flags = capi::RSP_SET_DELETE_OLD;
    }
    request.metadata = pairs.as_ptr();
    request.metadata_len = pairs.len();
    request
}

/// An operation's number, as the header has it.
fn number_of(operation: &str) -> u32 {
    let header = include_str!("../../include/resty_session_postgres.h");
    let name = format!("  RSP_{} = ", operation.to_uppercase());
    let number = header.lines().find_map(|line| line.strip_prefix(&name));
    let number = number.and_then(|number| number.trim_end_matches(',').parse().ok());
    number.unwrap_or_else(|| panic!("no operation {operation}"))
}

/// The request as C writes it.
pub(super) fn c_request(request: &Request) -> rsp_request {
    let mut made = mem::MaybeUninit::<rsp_request>::uninit();
    let status = call!(rsp_request_init(
        made.as_mut_ptr(),
        size_of::<rsp_request>(),
        number_of(request.operation)
    ));
    assert_eq!(status, rsp_status::RSP_OK);
    // SAFETY: just initialized.
    let mut made = unsafe { made.assume_init() };
    let text = |bytes: Option<&[u8]>| {
        let data = bytes.map_or(ptr::null(), |bytes| bytes.as_ptr().cast());
        (data, bytes.map_or(0, <[u8]>::len))
    };
    (made.key, made.key_len) = text(request.key);
    (made.audience, made.audience_len) = text(request.audience);
    (made.subject, made.subject_len) = text(request.subject);
    (made.except_key, made.except_key_len) = text(request.except_key);
    (made.after_key, made.after_key_len) = text(request.after_key);
    made.now_s = time(request.now);
    made.ttl_s = request.ttl.unwrap_or_default().floor() as i64;
    made.limit = request.limit.unwrap_or_default() as u64;
    made.flags = u64::from(request.estimate) * capi::RSP_COUNT_ESTIMATE;
    made
}

/// What a completion says.
pub(super) fn answer(request: &Request, completion: *const capi::rsp_completion) -> Answer {
    let number = call!(rsp_completion_count(completion));
    match request.operation {
        "check" => {
            let text = value(call!(rsp_completion_value(completion))).expect("a text");
            let text = String::from_utf8(text).expect("text");
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines.len() as u64, number * 2);
            let pairs = lines.chunks(2);
            Answer::Findings(pairs.map(|pair| (pair[0].into(), pair[1].into())).collect())
        }
        "list" => {
            let metadata = call!(rsp_completion_metadata(completion));
            let len = call!(rsp_metadata_len(metadata));
            assert_eq!(len as u64, number);
            Answer::Sessions((0..len).map(|index| listed(metadata, index)).collect())
        }
        _ => Answer::Number(number),
    }
}

fn listed(metadata: *const capi::rsp_metadata, index: usize) -> Listed {
    let (mut key, mut key_len, mut expires) = (ptr::null(), 0, 0);
    let status = call!(rsp_metadata_get(
        metadata,
        index,
        &raw mut key,
        &raw mut key_len,
        &raw mut expires
    ));
    assert_eq!(status, rsp_status::RSP_OK);
    let (mut name, mut name_len, mut created) = (ptr::null(), 0, 0);
    let status = call!(rsp_metadata_name(
        metadata,
        index,
        &raw mut name,
        &raw mut name_len,
        &raw mut created
    ));
    assert_eq!(status, rsp_status::RSP_OK);
    let text = |data, len| String::from_utf8(copy(data, len)).expect("text");
    Listed {
        key: text(key, key_len),
        name: text(name, name_len),
        expires,
        created: (created != RSP_NOW).then_some(created),
    }
}

pub(super) use {any, call, try_call};
