//! The C interface, of which the header is generated (`make generate`). The conventions that all
//! functions share stand once, in `cbindgen.toml`, which puts them at the top of the header.
//!
//! A file for each handle: `config`, `storage`, `request`, `completion`, `queue`, `log`; and `call`,
//! which carries requests out. They share `status`, `pointer` (memory of the caller) and `guard`
//! (panics).
#![allow(unsafe_code)]
#![allow(non_camel_case_types, reason = "the types are named for C, where they are used")]

// The header has the functions in this order.
mod status;

mod config;

mod storage;

mod request;

mod call;

mod completion;

mod queue;

mod log;

mod guard;
mod pointer;

pub use call::*;
pub use completion::*;
pub use config::*;
pub use log::*;
pub use pointer::RSP_NUL_TERMINATED;
pub use queue::*;
pub use request::*;
pub use status::rsp_status;
pub use storage::*;

use guard::guard;
use std::ffi::{CStr, c_char};

/// cbindgen:ignore
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Returns the version of the library that is loaded, such as "0.2.0", as a static text.
/// RSP_VERSION_STRING is the version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_version() -> *const c_char {
    guard(VERSION.as_ptr(), || VERSION.as_ptr())
}

/// Returns the name of a status, such as "RSP_TIMEOUT", as a static text; "RSP_UNKNOWN" for a number
/// that this version does not have.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_status_name(status: u32) -> *const c_char {
    let unknown = c"RSP_UNKNOWN".as_ptr();
    guard(unknown, || status::name(status).map_or(unknown, CStr::as_ptr))
}
