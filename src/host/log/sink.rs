//! A function of the host's that takes log lines at once, on whichever thread they come up.

use super::Line;
use crate::host::{fork::ForkLocal, lock};
use std::cell::Cell;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Takes a line.
pub(crate) type Sink = Box<dyn Fn(&Line) + Send + Sync>;

/// The current one. A child of a fork keeps its parent's. Only the thread that holds [`CALLING`] follows
/// the pointer.
static SINK: AtomicPtr<Sink> = AtomicPtr::new(ptr::null_mut());

/// Held during a call: the host's function is called by one thread at a time.
static CALLING: ForkLocal<Mutex<()>> = ForkLocal::new();

thread_local! {
    /// This thread is inside the host's function.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn is_inside() -> bool {
    // At the end of a thread the flag may be gone, and the thread is then in no function.
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Gives a line to the host's function; false where there is none, or where that function itself
/// has caused the line.
pub(super) fn write(line: &Line) -> bool {
    if SINK.load(Ordering::Acquire).is_null() || is_inside() {
        return false;
    }
    let _calling = lock(CALLING.get_or_init(Mutex::default));
    // It may have been taken away while this thread waited.
    let sink = SINK.load(Ordering::Acquire);
    // SAFETY: the pointer is null or comes from Box::into_raw in `set`, which frees what it points
    // to when it has replaced it and has had the lock that is held here.
    #[allow(unsafe_code)]
    let Some(sink) = (unsafe { sink.as_ref() }) else {
        return false;
    };
    let _ = INSIDE.try_with(|inside| inside.set(true));
    sink(line);
    let _ = INSIDE.try_with(|inside| inside.set(false));
    true
}

/// Sets the host's function, or takes it away. After that the previous one is not called any more,
/// and not running, unless it calls this itself. Lines that wait are given to the new one.
#[cfg(feature = "capi")]
pub(crate) fn set(sink: Option<Sink>) {
    let is_there = sink.is_some();
    let sink = sink.map_or(ptr::null_mut(), |sink| Box::into_raw(Box::new(sink)));
    let previous = SINK.swap(sink, Ordering::AcqRel);
    // From within itself it is left behind: it still runs.
    if !is_inside() && !previous.is_null() {
        drop(lock(CALLING.get_or_init(Mutex::default)));
        // SAFETY: the pointer comes from Box::into_raw here, and was taken out by this call only. A
        // thread that had looked at it before has given the lock back.
        #[allow(unsafe_code)]
        drop(unsafe { Box::from_raw(previous) });
    }
    if is_there {
        for line in super::take() {
            write(&line);
        }
    }
}

#[cfg(all(test, feature = "capi"))]
mod tests {
    use super::super::{self as log, Level, tests::one_at_a_time};
    use super::*;

    #[test]
    fn a_line_that_the_hosts_function_causes_waits() {
        let _guard = one_at_a_time();
        set(Some(Box::new(|_| log::log(Level::Info, "inside".into()))));
        log::log(Level::Warn, "outside".into());
        set(None);
        let waiting = log::take();
        let waits = |text| waiting.iter().any(|line| line.text == text);
        assert!(waits("inside") && !waits("outside"));
    }
}
