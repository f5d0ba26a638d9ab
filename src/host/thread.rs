//! Threads that a host does not notice: named, with a small stack, and deaf to its signals.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::thread::Builder;

/// Enough for a TLS handshake and a formatted panic, with room to spare.
const STACK_BYTES: usize = 512 * 1024;

/// Starts a thread. The name has at most 15 characters, which is what Linux keeps.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    without_signals(|| builder.spawn(run)).map(drop)
}

/// Runs `start` with all signals blocked but those that a fault raises in the thread itself, so
/// that each thread it starts inherits that mask: the host's handlers must run on its own threads.
#[allow(unsafe_code)]
pub(crate) fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initializes the set it is given.
    unsafe { libc::sigfillset(blocked.as_mut_ptr()) };
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        // SAFETY: the set was initialized above; the signal numbers are valid.
        unsafe { libc::sigdelset(blocked.as_mut_ptr(), fault) };
    }
    // SAFETY: `blocked` is initialized; the call initializes `before`. It cannot fail with valid
    // arguments.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), before.as_mut_ptr()) };

    /// Puts the caller's mask back, also when `start` panics.
    struct Restore(MaybeUninit<libc::sigset_t>);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was initialized by the call that blocked the signals.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, self.0.as_ptr(), ptr::null_mut()) };
        }
    }
    let _restore = Restore(before);
    start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier, mpsc};

    fn signals_of_this_thread() -> (u64, String) {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a status field").trim().to_owned()
        };
        let blocked = u64::from_str_radix(&field("SigBlk:"), 16).expect("a mask");
        (blocked, field("Name:"))
    }

    /// The size of the stack of the thread that runs.
    #[allow(unsafe_code)]
    fn stack_size() -> usize {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: always succeeds.
        let me = unsafe { libc::pthread_self() };
        // SAFETY: initializes the attributes of a thread that lives.
        let got = unsafe { libc::pthread_getattr_np(me, attributes.as_mut_ptr()) };
        assert_eq!(got, 0);
        let mut bytes = 0;
        // SAFETY: the attributes were initialized above.
        unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut bytes) };
        // SAFETY: likewise.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        bytes
    }

    /// Some may get a larger stack that a thread of another test has left to the C library, which
    /// keeps 40 MiB of them.
    #[test]
    fn threads_have_small_stacks() {
        const MANY: usize = 40;
        let (sender, receiver) = mpsc::channel();
        let all = Arc::new(Barrier::new(MANY));
        for _ in 0..MANY {
            let (sender, all) = (sender.clone(), Arc::clone(&all));
            spawn("rsp-test", move || {
                sender.send(stack_size()).expect("a receiver");
                all.wait();
            })
            .expect("a thread");
        }
        let least = receiver.iter().take(MANY).min();
        assert_eq!(least, Some(STACK_BYTES));
    }

    #[test]
    fn a_thread_is_named_and_blocks_the_hosts_signals() {
        let (before, _) = signals_of_this_thread();
        let (sender, receiver) = mpsc::channel();
        spawn("rsp-test", move || {
            sender.send(signals_of_this_thread()).expect("a receiver");
        })
        .expect("a thread");
        let (blocked, name) = receiver.recv().expect("the thread's mask");
        assert_eq!(name, "rsp-test");
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD, libc::SIGALRM, libc::SIGIO] {
            assert_ne!(blocked & (1 << (signal - 1)), 0, "signal {signal}");
        }
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            assert_eq!(blocked & (1 << (fault - 1)), 0, "signal {fault}");
        }
        assert_eq!(signals_of_this_thread().0, before, "the caller's mask is put back");
    }
}
