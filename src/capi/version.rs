//! The library's version.

use std::ffi::{CStr, c_char};

/// cbindgen:ignore
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// Returns the library's version, such as "0.1.0".
///
/// The text is NUL-terminated, static, and must not be freed. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn rsp_version() -> *const c_char {
    VERSION.as_ptr()
}
