//! State that does not survive a fork. nginx loads modules in its master and forks its workers
//! from it; threads, sockets and TLS sessions stay behind in the parent. A child must not touch
//! the parent's copies, not even to drop them (that would send Terminate on the parent's socket), so
//! it leaks them and builds its own.

use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Counts the forks between the process that loaded this library and the current one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Runs in the child, between fork and whatever the host does next: nothing but an atomic is
/// allowed here.
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

fn generation() -> u64 {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: the handler is a function of this library, which is never unloaded (-z nodelete).
        #[allow(unsafe_code)]
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
    });
    GENERATION.load(Ordering::Relaxed)
}

/// A value made at its first use in each process. What a parent made is leaked in the child.
pub(crate) struct ForkLocal<T> {
    current: AtomicPtr<Made<T>>,
}

struct Made<T> {
    generation: u64,
    value: T,
}

impl<T: Send + Sync + 'static> ForkLocal<T> {
    pub(crate) const fn new() -> Self {
        ForkLocal { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// This process's value, if it was made.
    pub(crate) fn get(&self) -> Option<&T> {
        let generation = generation();
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: the pointer is null or comes from Box::leak in `get_or_init`; nothing changes what it
        // points to, and only `drop` frees it, which has no other borrower.
        #[allow(unsafe_code)]
        let made: Option<&Made<T>> = unsafe { current.as_ref() };
        made.filter(|made| made.generation == generation).map(|made| &made.value)
    }

    /// This process's value, made by `make` if it was not.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        // Read before `get`, so that what another thread makes from now on is not replaced.
        let stale = self.current.load(Ordering::Acquire);
        self.get().unwrap_or_else(|| {
            let made: &Made<T> =
                Box::leak(Box::new(Made { generation: generation(), value: make() }));
            let pointer = ptr::from_ref(made).cast_mut();
            // Where another thread was first, its value is this process's.
            let set =
                self.current.compare_exchange(stale, pointer, Ordering::AcqRel, Ordering::Acquire);
            if set.is_err()
                && let Some(theirs) = self.get()
            {
                // SAFETY: it was leaked above, and no other thread has seen it.
                #[allow(unsafe_code)]
                let made = unsafe { Box::from_raw(pointer) };
                drop(made);
                return theirs;
            }
            &made.value
        })
    }
}

impl<T> Drop for ForkLocal<T> {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: as in `get`.
        #[allow(unsafe_code)]
        let made = unsafe { current.as_ref() };
        if made.is_some_and(|made| made.generation == generation()) {
            // SAFETY: it comes from Box::leak, and nothing borrows from `self` any more.
            #[allow(unsafe_code)]
            let made = unsafe { Box::from_raw(current) };
            drop(made);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What `check` says in a child of this process; false where it hangs.
    #[allow(unsafe_code)]
    pub(crate) fn holds_in_a_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child calls nothing that may take a lock another thread held.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends a child that hangs.
            unsafe { libc::alarm(5) };
            let status = if check() { 7 } else { 1 };
            // SAFETY: ends the child without running the test harness's exit handlers.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: `child` is a child of this process and `status` is writable.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7
    }

    #[test]
    fn a_value_is_made_once_a_process() {
        static LOCAL: ForkLocal<String> = ForkLocal::new();
        assert!(LOCAL.get().is_none());
        let first = LOCAL.get_or_init(|| "first".to_owned());
        let again = LOCAL.get_or_init(|| unreachable!("it was made"));
        assert!(ptr::eq(first, again));
    }

    #[test]
    fn a_child_makes_its_own() {
        static LOCAL: ForkLocal<u8> = ForkLocal::new();
        assert_eq!(*LOCAL.get_or_init(|| 1), 1);
        assert!(holds_in_a_child(|| LOCAL.get().is_none() && *LOCAL.get_or_init(|| 2) == 2));
        assert_eq!(LOCAL.get(), Some(&1));
    }
}
