//! The library's version.

use super::guard::guard;
use std::ffi::{CStr, c_char};

/// cbindgen:ignore
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Returns the version of the library that the program runs with, such as "0.2.0"; the version that
/// it was compiled for is `RSP_VERSION_STRING`.
///
/// # Returns
///
/// A static, NUL-terminated text that must not be freed.
///
/// Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_version() -> *const c_char {
    guard(VERSION.as_ptr(), || VERSION.as_ptr())
}
