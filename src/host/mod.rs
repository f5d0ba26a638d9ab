//! Running inside a host's process: what its forks, signals, exit and log ask of a library.

pub(crate) mod fork;
pub mod log;
pub(crate) mod thread;

#[cfg(feature = "capi")]
pub(crate) use log::sink;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a panic under its lock: to go on is better than never to answer, and what
/// this library keeps under its locks is complete between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `handler` called when the process exits, before the handlers that are registered already. It
/// must not unwind, and must not wait for anything without a limit.
pub(crate) fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the handler is a function of this library, which is never unloaded (-z nodelete).
    #[allow(unsafe_code)]
    unsafe {
        libc::atexit(handler);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    /// An allocator of its own would keep memory that the host's could use, and hide from its tools.
    #[test]
    #[allow(unsafe_code)]
    fn memory_is_the_systems() {
        const BYTES: usize = 64 << 20;
        // SAFETY: only reads.
        let mapped = || unsafe { libc::mallinfo2() }.hblkhd;
        let before = mapped();
        let block = vec![0_u8; BYTES];
        assert!(mapped() >= before + BYTES);
        drop(block);
    }
}
