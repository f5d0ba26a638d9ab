//! Configurations of any keys and values, and of any connection string: each call answers with a status and a message that is whole,
//! and what was refused leaves the configuration usable.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use resty_session_postgres::capi::*;
use resty_session_postgres::config::KEYS;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr;

/// A call of the C interface, as its header allows it.
macro_rules! sound {
    ($call:expr) => {{
        // SAFETY: pointers are NULL, or lead to handles that this input has made and not yet freed;
        // texts and buffers are as long as is said.
        unsafe { $call }
    }};
}

#[derive(Arbitrary, Debug)]
enum Key<'a> {
    /// One that there is.
    Known(u8),
    Any(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Value<'a> {
    Number(f64),
    Flag(bool),
    List(Vec<u16>),
    Any(&'a [u8]),
}

impl Value<'_> {
    fn text(&self) -> Vec<u8> {
        match self {
            Value::Number(number) => number.to_string().into(),
            Value::Flag(flag) => flag.to_string().into(),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(u16::to_string).collect();
                items.join(",").into()
            }
            Value::Any(bytes) => bytes.to_vec(),
        }
    }
}

fn check(status: rsp_status, message: &[u8]) {
    assert_ne!(status, rsp_status::RSP_INTERNAL);
    if status != rsp_status::RSP_OK && !message.is_empty() {
        let message = CStr::from_bytes_until_nul(message).expect("an end");
        message.to_str().expect("whole characters");
    }
}

/// The handle that a function wrote to its output; none where it failed, and wrote nothing.
fn made<T>(status: rsp_status, out: &MaybeUninit<*mut T>) -> Option<Box<T>> {
    // SAFETY: it was initialized.
    let pointer = unsafe { out.assume_init() };
    assert_eq!(pointer.is_null(), status != rsp_status::RSP_OK);
    // SAFETY: it comes from the function, and nothing else owns it.
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Keys with their values, and sizes of the buffer for a message.
    settings: Vec<(Key<'a>, Value<'a>, u8)>,
    dsn: Option<&'a [u8]>,
}

fuzz_target!(|input: Input| {
    let Input { settings, dsn } = input;
    let mut out = MaybeUninit::new(ptr::null_mut());
    let status = sound!(rsp_config_new(Some(&mut out), ptr::null_mut(), 0));
    let mut config = made(status, &out);
    for (key, value, size) in &settings {
        let key = match key {
            Key::Known(index) => KEYS[usize::from(*index) % KEYS.len()].name.as_bytes(),
            Key::Any(bytes) => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
        };
        let key = CString::new(key).expect("no NUL");
        let value = value.text();
        // Of its size exactly, so that the sanitizer sees a byte too many.
        let mut message = vec![b'x'; usize::from(*size)].into_boxed_slice();
        let status = sound!(rsp_config_set(
            config.as_deref_mut(),
            key.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            message.as_mut_ptr().cast(),
            message.len(),
        ));
        check(status, &message);
    }
    let mut message = [0_u8; 256];
    let (buffer, size) = (message.as_mut_ptr().cast(), message.len());
    if let Some(dsn) = dsn {
        let (data, len) = (dsn.as_ptr().cast(), dsn.len());
        let config = config.as_deref_mut();
        let status = sound!(rsp_config_dsn(config, data, len, buffer, size));
        check(status, &message);
    }
    let mut out = MaybeUninit::new(ptr::null_mut());
    let storage = Some(&mut out);
    let status = sound!(rsp_storage_new(config.as_deref(), storage, buffer, size));
    check(status, &message);
    rsp_config_free(config);
    rsp_storage_free(made(status, &out));
});
