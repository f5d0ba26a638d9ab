//! Configurations of any keys and values: each call answers with a status and a message that is whole,
//! and what was refused leaves the configuration usable.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use resty_session_postgres::capi::*;
use resty_session_postgres::config::KEYS;
use std::ffi::CStr;
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

fuzz_target!(|settings: Vec<(Key, Value, u8)>| {
    let mut config = ptr::null_mut();
    assert_eq!(sound!(rsp_config_new(&mut config)), rsp_status::RSP_OK);
    for (key, value, size) in &settings {
        let key = match key {
            Key::Known(index) => KEYS[usize::from(*index) % KEYS.len()].name.as_bytes(),
            Key::Any(bytes) => bytes,
        };
        let value = value.text();
        // Of its size exactly, so that the sanitizer sees a byte too many.
        let mut message = vec![b'x'; usize::from(*size)].into_boxed_slice();
        let status = sound!(rsp_config_set(
            config,
            key.as_ptr().cast(),
            key.len(),
            value.as_ptr().cast(),
            value.len(),
            message.as_mut_ptr().cast(),
            message.len(),
        ));
        check(status, &message);
    }
    let mut storage = ptr::null_mut();
    let mut message = [0_u8; 256];
    let status = sound!(rsp_storage_new(
        config,
        &mut storage,
        message.as_mut_ptr().cast(),
        message.len(),
    ));
    check(status, &message);
    assert_eq!(storage.is_null(), status != rsp_status::RSP_OK);
    sound!(rsp_config_free(config));
    sound!(rsp_storage_free(storage));
});
