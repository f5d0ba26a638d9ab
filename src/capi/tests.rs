//! Every function with a panic in its body: none leaves it.

use super::guard::tests::with_panics;
use super::*;
use std::ffi::{CStr, c_char};
use std::ptr::{self, null, null_mut};

/// Calls a function of which a panic is wanted.
macro_rules! panics {
    ($answer:expr, $($function:ident($($argument:expr),*);)*) => {
        [$({
            // SAFETY: the body panics before it looks at any of its arguments.
            #[allow(unused_unsafe, reason = "some of the functions are safe")]
            let answer = with_panics(|| unsafe { $function($($argument),*) });
            assert_eq!(answer, $answer, stringify!($function));
            stringify!($function)
        }),*]
    };
}

const INTERNAL: rsp_status = rsp_status::RSP_INTERNAL;

#[test]
fn a_panic_becomes_a_status() {
    let answered = panics! { INTERNAL,
        rsp_config_new(null_mut());
        rsp_config_set(null_mut(), null(), 0, null(), 0, null_mut(), 0);
        rsp_storage_new(null(), null_mut(), null_mut(), 0);
        rsp_set_init(null_mut(), 0);
        rsp_storage_set(null(), null(), null_mut(), 0);
        rsp_storage_get(null(), null(), 0, 0, null_mut(), null_mut(), 0);
        rsp_storage_delete(null(), null(), 0, null_mut(), 0);
        rsp_storage_read_metadata(null(), null(), 0, null(), 0, 0, null_mut(), null_mut(), 0);
        rsp_storage_metrics(null(), null_mut(), null_mut(), 0);
        rsp_metadata_get(null(), 0, null_mut(), null_mut(), null_mut());
        rsp_metadata_name(null(), 0, null_mut(), null_mut(), null_mut());
        rsp_storage_set_password(null(), null(), 0, null_mut(), 0);
        rsp_request_init(null_mut(), 0, 0);
        rsp_storage_call(null(), null(), null_mut(), null_mut(), 0);
        rsp_storage_submit(null(), null(), null(), null_mut(), null_mut(), null_mut(), 0);
        rsp_queue_new(null_mut());
        rsp_queue_drain(null(), null_mut(), 0, null_mut());
        rsp_storage_submit_set(null(), null(), null(), null_mut(), null_mut(), null_mut(), 0);
        rsp_storage_submit_get(
            null(), null(), null(), 0, 0, null_mut(), null_mut(), null_mut(), 0
        );
        rsp_storage_submit_delete(
            null(), null(), null(), 0, null_mut(), null_mut(), null_mut(), 0
        );
        rsp_storage_submit_read_metadata(
            null(), null(), null(), 0, null(), 0, 0, null_mut(), null_mut(), null_mut(), 0
        );
        rsp_completion_status(null(), null_mut(), 0);
        rsp_log_take(null_mut());
        rsp_log_get(null(), 0, null_mut(), null_mut());
    };
    assert_eq!(answered.len() + others(), declared());
}

/// Those that answer with something else; the number of them.
fn others() -> usize {
    let freed = panics! { (),
        rsp_config_free(ptr::dangling_mut());
        rsp_storage_free(ptr::dangling_mut());
        rsp_bytes_free(ptr::dangling_mut());
        rsp_metadata_free(ptr::dangling_mut());
        rsp_queue_free(ptr::dangling_mut());
        rsp_completion_free(ptr::dangling_mut());
        rsp_log_free(ptr::dangling_mut());
        rsp_log_set_function(None, null_mut());
    };
    let numbers = panics! { 0,
        rsp_bytes_len(ptr::dangling());
        rsp_metadata_len(ptr::dangling());
        rsp_log_len(ptr::dangling());
    };
    let ticket = panics! { 0,
        rsp_completion_ticket(ptr::dangling());
        rsp_completion_count(ptr::dangling());
    };
    let descriptor = panics! { -1, rsp_queue_fd(ptr::dangling()); };
    let data = panics! { null::<c_char>(), rsp_bytes_data(ptr::dangling()); };
    let user = panics! { null_mut(), rsp_completion_user(ptr::dangling()); };
    let value = panics! { null(), rsp_completion_value(ptr::dangling()); };
    let metadata = panics! { null(), rsp_completion_metadata(ptr::dangling()); };
    let version = panics! { rsp_version(), rsp_version(); };
    let name = panics! { rsp_status_name(u32::MAX), rsp_status_name(0); };
    freed.len()
        + numbers.len()
        + ticket.len()
        + descriptor.len()
        + data.len()
        + user.len()
        + value.len()
        + metadata.len()
        + version.len()
        + name.len()
}

/// How many functions the header declares.
fn declared() -> usize {
    let header = include_str!("../../include/resty_session_postgres.h");
    let is_code = |line: &&str| !line.starts_with("//") && !line.starts_with("typedef");
    let declarations = header.lines().filter(is_code);
    let names = declarations.filter(|line| line.contains(" rsp_") || line.contains(" *rsp_"));
    names.filter(|line| line.contains('(')).count()
}

#[test]
fn a_panic_has_a_message() {
    let mut message = [0; 64];
    // SAFETY: the body panics before it looks at the other arguments; the buffer has that size.
    let status = with_panics(|| unsafe {
        rsp_storage_set(null(), null(), message.as_mut_ptr(), message.len())
    });
    assert_eq!(status, INTERNAL);
    // SAFETY: a message ends in a NUL.
    let message = unsafe { CStr::from_ptr(message.as_ptr()) };
    assert!(message.to_str().is_ok_and(|text| text.contains("panic")));
}
