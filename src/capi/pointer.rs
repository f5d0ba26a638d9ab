//! Memory of the caller: texts that are read, and the buffer for a message. Handles and outputs need
//! nothing of this, since they are references in the functions' signatures.

use super::status::Failure;
use crate::Error;
use crate::op::{self, MAX_TEXT_BYTES};
use std::borrow::Cow;
use std::ffi::{CStr, c_char};
use std::fmt;
use std::ptr;
use std::slice;

/// In the place of a text's length: the text ends in NUL.
pub const RSP_NUL_TERMINATED: usize = usize::MAX;

/// What an argument that must not be NULL points to.
pub(super) fn required<T>(name: &'static str, argument: Option<T>) -> Result<T, Failure> {
    argument.ok_or(Failure::Null(name))
}

/// A name that ends in NUL.
///
/// # Safety
///
/// `data` is NULL or points to a text that ends in NUL and stays as it is while the name is used.
pub(super) unsafe fn name<'a>(
    name: &'static str,
    data: *const c_char,
) -> Result<Cow<'a, str>, Failure> {
    if data.is_null() {
        return Err(Failure::Null(name));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(data) }.to_string_lossy())
}

/// The bytes of a text. A length that no text may have is refused before anything is read.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` bytes, or up to its NUL where `len` is
/// [`RSP_NUL_TERMINATED`], as long as the slice is used.
pub(super) unsafe fn text<'a>(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<&'a [u8], Failure> {
    let reject = |reason| Err(Error::Text { name, reason }.into());
    if data.is_null() {
        return Err(Failure::Null(name));
    }
    if len == 0 {
        return reject("has the length 0 (for an empty text pass \"\" and RSP_NUL_TERMINATED)");
    }
    if len == RSP_NUL_TERMINATED {
        // SAFETY: the caller's promise.
        return Ok(unsafe { CStr::from_ptr(data) }.to_bytes());
    }
    if len > MAX_TEXT_BYTES {
        return reject("is longer than 16 MiB");
    }
    // SAFETY: the caller's promise, and the length is below isize::MAX.
    Ok(unsafe { slice::from_raw_parts(data.cast(), len) })
}

/// A text that must be UTF-8.
///
/// # Safety
///
/// As [`text`].
pub(super) unsafe fn utf8(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<String, Failure> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { text(name, data, len) }?;
    Ok(op::utf8(name, bytes.to_vec())?)
}

pub(super) struct Message {
    buffer: *mut u8,
    size: usize,
}

impl Message {
    /// # Safety
    ///
    /// `buffer` is NULL or valid for writes of `size` bytes as long as the message is used.
    pub(super) unsafe fn new(buffer: *mut c_char, size: usize) -> Self {
        Message { buffer: buffer.cast(), size: if buffer.is_null() { 0 } else { size } }
    }

    /// Writes as much of a text as there is room for: whole characters, and a NUL after them. The
    /// text's own NUL bytes, which would end it early, become spaces.
    pub(super) fn write(&self, text: &impl fmt::Display) {
        let Some(room) = self.size.checked_sub(1) else {
            return;
        };
        let mut text = text.to_string().replace('\0', " ");
        text.truncate(text.floor_char_boundary(room));
        text.push('\0');
        // SAFETY: `new` was promised `size` bytes, which are as many at least; a new String overlaps
        // nothing.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.buffer, text.len()) };
    }
}
