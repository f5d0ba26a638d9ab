//! Structs that a caller fills in, and that later versions may add fields to. The first field is the
//! struct's size as the caller knows it. What one of the two does not know must be 0, which asks for
//! nothing.

use super::status::Failure;
use crate::Error;
use std::mem::{self, MaybeUninit};
use std::{ptr, slice};

/// No version's struct will be longer; a size beyond it is not a size.
/// cbindgen:ignore
const MOST_SIZE: usize = 4096;

/// Such a struct.
///
/// # Safety
///
/// It is `repr(C)`, its first field is its size as a `usize`, and all of its fields are numbers and
/// raw pointers, of which every bit pattern is a value.
pub(super) unsafe trait Growing: Copy {
    /// The argument's name.
    const NAME: &'static str;
    /// The size of the first version that had it.
    const FIRST_SIZE: usize;

    /// 0 and NULL everywhere.
    fn zeroed() -> Self {
        // SAFETY: promised by the implementation.
        unsafe { mem::zeroed() }
    }
}

fn check_size<T: Growing>(size: usize) -> Result<(), Error> {
    if (T::FIRST_SIZE..=MOST_SIZE).contains(&size) {
        return Ok(());
    }
    let name = T::NAME;
    let reason = format!("{size} is the size of no rsp_{name}: was rsp_{name}_init called?");
    Err(Error::argument("size", reason))
}

/// Prepares a caller's struct of that size: as much of `blank` as it has room for, and 0s.
///
/// # Safety
///
/// `place` is NULL or valid for writes of `size` bytes.
pub(super) unsafe fn init<T: Growing>(place: *mut T, size: usize, blank: T) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Failure::Null(T::NAME));
    }
    check_size::<T>(size)?;
    let (place, blank) = (place.cast::<u8>(), ptr::from_ref(&blank).cast());
    // SAFETY: the caller's promise.
    unsafe { ptr::write_bytes(place, 0, size) };
    // SAFETY: as above, and no more than the blank has.
    unsafe { ptr::copy_nonoverlapping(blank, place, size.min(size_of::<T>())) };
    Ok(())
}

/// Copies what this version knows of a caller's struct.
///
/// # Safety
///
/// `given` is NULL, or valid for reads of a `usize` and of as many bytes as that says.
pub(super) unsafe fn read<T: Growing>(given: *const T) -> Result<T, Failure> {
    // SAFETY: the caller's promise; the size is the first field.
    let size = unsafe { given.cast::<usize>().as_ref() };
    let size = *size.ok_or(Failure::Null(T::NAME))?;
    check_size::<T>(size)?;
    let known = size.min(size_of::<T>());
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is at most what the caller promised and what the copy has.
    unsafe { ptr::copy_nonoverlapping(given.cast::<u8>(), copy.as_mut_ptr().cast(), known) };
    // SAFETY: inside the caller's struct, or just at its end.
    let rest = unsafe { given.cast::<u8>().add(known) };
    // SAFETY: the caller's promise.
    let rest = unsafe { slice::from_raw_parts(rest, size - known) };
    if rest.iter().any(|&byte| byte != 0) {
        let reason = "has fields that only a later version of the library knows";
        return Err(Error::argument(T::NAME, reason).into());
    }
    // SAFETY: promised by the implementation of `Growing`.
    Ok(unsafe { copy.assume_init() })
}

/// Refuses flags that this version does not know.
pub(super) fn check_flags(flags: u64, known: u64) -> Result<(), Error> {
    if flags & !known == 0 {
        return Ok(());
    }
    Err(Error::argument(
        "flags",
        format!("unknown ones in {flags:#x}"),
    ))
}
