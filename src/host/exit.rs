//! The end of the host's process.

/// Has `handler` called when the process exits, before the handlers that are registered already. It
/// must not unwind, and must not wait for anything without a limit.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler is a function of this library, which is never unloaded (-z nodelete).
    #[allow(unsafe_code)]
    unsafe {
        libc::atexit(handler);
    }
}
