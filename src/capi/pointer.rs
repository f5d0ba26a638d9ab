//! Pointers of a caller: what may be NULL, what is read, and what is written.

use super::status::Failure;
use crate::Error;
use crate::op::{self, MAX_TEXT_BYTES};
use std::ffi::c_char;
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;

/// What a handle points to.
///
/// # Safety
///
/// `pointer` is NULL or valid for reads of a `T` as long as the reference is used.
pub(super) unsafe fn borrow<'a, T>(
    name: &'static str,
    pointer: *const T,
) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or(Failure::Null(name))
}

/// The same for a handle that is changed.
///
/// # Safety
///
/// As [`borrow`], and nobody else uses what `pointer` points to meanwhile.
pub(super) unsafe fn borrow_mut<'a, T>(
    name: &'static str,
    pointer: *mut T,
) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or(Failure::Null(name))
}

/// Hands a value over to the caller.
pub(super) fn give<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// Takes back and drops what [`give`] has handed over; NULL is nothing.
///
/// # Safety
///
/// `pointer` is NULL or comes from [`give`], and is not used again.
pub(super) unsafe fn take_back<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

/// Bytes of the caller; `None` for NULL. A length that no text may have is refused before anything is
/// read.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` bytes as long as the slice is used.
pub(super) unsafe fn bytes<'a>(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<Option<&'a [u8]>, Error> {
    if data.is_null() {
        return Ok(None);
    }
    if len > MAX_TEXT_BYTES {
        let reason = "is longer than 256 MiB";
        return Err(Error::Text { name, reason });
    }
    // SAFETY: the caller's promise, and the length is below isize::MAX.
    Ok(Some(unsafe { slice::from_raw_parts(data.cast(), len) }))
}

/// A text for the database, copied.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` bytes.
pub(super) unsafe fn text(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<String, Failure> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(name, data, len) }?.ok_or(Failure::Null(name))?;
    Ok(op::text(name, bytes)?)
}

/// A session's key, copied.
///
/// # Safety
///
/// As [`text`].
pub(super) unsafe fn key(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<String, Failure> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(name, data, len) }?.ok_or(Failure::Null(name))?;
    Ok(op::key(name, bytes)?)
}

/// A text of a configuration, where it is for the key to say what it accepts.
///
/// # Safety
///
/// `data` is NULL or valid for reads of `len` bytes as long as the text is used.
pub(super) unsafe fn utf8<'a>(
    name: &'static str,
    data: *const c_char,
    len: usize,
) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(name, data, len) }?.ok_or(Failure::Null(name))?;
    let reason = "is not valid UTF-8";
    Ok(std::str::from_utf8(bytes).map_err(|_| Error::Text { name, reason })?)
}

/// An array of the caller; NULL is an empty one.
///
/// # Safety
///
/// `items` is NULL or valid for reads of `len` items as long as the slice is used.
pub(super) unsafe fn array<'a, T>(
    name: &'static str,
    items: *const T,
    len: usize,
) -> Result<&'a [T], Failure> {
    if len == 0 {
        return Ok(&[]);
    }
    if items.is_null() {
        return Err(Failure::Null(name));
    }
    if len > MAX_TEXT_BYTES / size_of::<T>().max(1) {
        return Err(Error::argument(name, "is longer than 256 MiB").into());
    }
    // SAFETY: the caller's promise, and the array is shorter than isize::MAX bytes.
    Ok(unsafe { slice::from_raw_parts(items, len) })
}

/// Where a result goes.
pub(super) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `pointer` is NULL or valid for writes of a `T` as long as the `Out` is used.
    pub(super) unsafe fn new(name: &'static str, pointer: *mut T) -> Result<Self, Failure> {
        NonNull::new(pointer).map(Out).ok_or(Failure::Null(name))
    }

    pub(super) fn write(self, value: T) {
        // SAFETY: promised to `new`. What is overwritten belongs to the caller and is not dropped.
        unsafe { self.0.write(value) }
    }

    /// Writes one value after the other.
    ///
    /// # Safety
    ///
    /// There is room for them all.
    pub(super) unsafe fn write_all(self, values: impl Iterator<Item = T>) {
        for (index, value) in values.enumerate() {
            // SAFETY: the caller's promise.
            let place = unsafe { self.0.add(index) };
            // SAFETY: the caller's promise.
            unsafe { place.write(value) };
        }
    }
}

/// Writes a result that not every caller wants.
///
/// # Safety
///
/// `pointer` is NULL or valid for writes of a `T`.
pub(super) unsafe fn write_if_wanted<T>(pointer: *mut T, value: T) {
    if let Some(pointer) = NonNull::new(pointer) {
        // SAFETY: the caller's promise.
        unsafe { pointer.write(value) };
    }
}

/// The caller's buffer for a message.
pub(super) struct Message {
    buffer: *mut u8,
    size: usize,
}

impl Message {
    /// No buffer: nothing is written.
    pub(super) fn none() -> Self {
        Message {
            buffer: ptr::null_mut(),
            size: 0,
        }
    }

    /// # Safety
    ///
    /// `buffer` is NULL or valid for writes of `size` bytes as long as the message is used.
    pub(super) unsafe fn new(buffer: *mut c_char, size: usize) -> Self {
        Message {
            buffer: buffer.cast(),
            size: if buffer.is_null() { 0 } else { size },
        }
    }

    /// Writes as much of a text as there is room for: whole characters, and a NUL after them. The
    /// text's own NUL bytes, which would end it early, become spaces.
    pub(super) fn write(&self, text: &impl fmt::Display) {
        let Some(room) = self.size.checked_sub(1) else {
            return;
        };
        let text = text.to_string().replace('\0', " ");
        let len = text.floor_char_boundary(room.min(text.len()));
        // SAFETY: `new` was promised `size` bytes, and len < size; a new String overlaps nothing.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.buffer, len) };
        // SAFETY: len < size.
        let end = unsafe { self.buffer.add(len) };
        // SAFETY: as above, and `end` is inside the buffer.
        unsafe { end.write(0) };
    }
}
