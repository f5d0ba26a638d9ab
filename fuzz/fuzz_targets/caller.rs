//! What a caller of the C interface passes: texts and names of any kind; and what it gets.

use arbitrary::Arbitrary;
use resty_session_postgres::capi::{RSP_NUL_TERMINATED, rsp_status};
use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr;

#[derive(Arbitrary, Debug)]
pub enum Length {
    Exact,
    NulTerminated,
    Zero,
    Absurd,
}

/// A text of a caller, NULL where there is none.
#[derive(Arbitrary, Debug)]
pub struct Text<'a> {
    bytes: Option<&'a [u8]>,
    length: Length,
}

/// A text with a NUL after it, which is only read where the length says so.
pub struct Given {
    bytes: Option<Vec<u8>>,
    pub len: usize,
}

impl Given {
    pub fn of(text: &Text) -> Self {
        let len = match text.length {
            Length::Exact => text.bytes.map_or(7, <[u8]>::len),
            Length::NulTerminated => RSP_NUL_TERMINATED,
            Length::Zero => 0,
            Length::Absurd => RSP_NUL_TERMINATED - 1,
        };
        let bytes = text.bytes.map(|bytes| [bytes, &[0]].concat());
        Given { bytes, len }
    }

    pub fn data(&self) -> *const c_char {
        self.bytes.as_ref().map_or(ptr::null(), |bytes| bytes.as_ptr().cast())
    }
}

/// A name of the table of operations, or any other.
#[derive(Arbitrary, Debug)]
pub enum Name<'a> {
    Known(u8),
    Any(&'a [u8]),
}

impl Name<'_> {
    pub fn find(&self, known: &[&str]) -> CString {
        let bytes = match self {
            Name::Known(index) if !known.is_empty() => {
                known[usize::from(*index) % known.len()].as_bytes()
            }
            Name::Known(_) => b"nothing",
            Name::Any(bytes) => bytes.split(|byte| *byte == 0).next().unwrap_or_default(),
        };
        CString::new(bytes).expect("no NUL")
    }
}

/// The handle that a function wrote to its output; none where it failed, and wrote nothing.
pub fn made<T>(status: rsp_status, out: &MaybeUninit<*mut T>) -> Option<Box<T>> {
    // SAFETY: it was initialized.
    let pointer = unsafe { out.assume_init() };
    assert_eq!(pointer.is_null(), status != rsp_status::RSP_OK);
    // SAFETY: it comes from the function, and nothing else owns it.
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}
