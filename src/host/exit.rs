//! The end of the host's process.

use std::panic;

/// Has all engines stopped when the process exits, before the exit handlers run that are registered
/// already. Registering it again moves it before later ones; it runs once to any effect.
pub(crate) fn stop_engines_at_exit() {
    extern "C" fn handler() {
        // A panic must not leave this function, and at exit there is nobody to tell.
        let _ = panic::catch_unwind(crate::registry::stop_all);
    }
    // SAFETY: the handler is a function of this library, which is never unloaded (-z nodelete).
    #[allow(unsafe_code)]
    unsafe {
        libc::atexit(handler);
    }
}
