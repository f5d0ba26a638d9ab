//! Log lines for the host. A library in nginx must not write to stdout or stderr, and its threads
//! cannot call nginx; so lines wait here until the host takes them.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is kept until the host comes; an outage must not fill its memory.
const CAPACITY: usize = 64;

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Somebody should look at it.
    Warn,
    /// A defect.
    Error,
}

impl Level {
    /// The name of nginx's level, in capitals as in ngx_lua's constants.
    pub fn name(self) -> &'static str {
        match self {
            Level::Notice => "NOTICE",
            Level::Warn => "WARN",
            Level::Error => "ERR",
        }
    }
}

/// A line for the host's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How urgent it is.
    pub level: Level,
    /// The text, without a line feed at its end, and without secrets.
    pub text: String,
}

struct Lines {
    waiting: VecDeque<Line>,
    dropped: usize,
}

static LINES: Mutex<Lines> = Mutex::new(Lines {
    waiting: VecDeque::new(),
    dropped: 0,
});

/// Whether there are lines: asked after each operation, so without a lock.
static ANY: AtomicBool = AtomicBool::new(false);

fn lines() -> std::sync::MutexGuard<'static, Lines> {
    LINES
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Leaves a line for the host. A repetition of the last one, and what is beyond the capacity, is
/// counted instead of kept.
pub(crate) fn log(level: Level, text: String) {
    let mut lines = lines();
    ANY.store(true, Ordering::Relaxed);
    let line = Line { level, text };
    if lines.waiting.back() == Some(&line) || lines.waiting.len() >= CAPACITY {
        lines.dropped += 1;
    } else {
        lines.waiting.push_back(line);
    }
}

/// Whether nothing waits; takes no lock.
pub fn is_empty() -> bool {
    !ANY.load(Ordering::Relaxed)
}

/// Has the messages of this library's panics, which are caught, logged instead of printed to
/// stderr. For a library that has its own copy of Rust's runtime, as the Lua module and the C
/// library do; a Rust program's hook is its own affair.
#[cfg(any(feature = "lua-module", feature = "capi"))]
pub(crate) fn catch_panic_messages() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            log(Level::Error, format!("internal error: {panic}"));
        }));
    });
}

/// Takes what waits.
pub fn take() -> Vec<Line> {
    let mut lines = lines();
    ANY.store(false, Ordering::Relaxed);
    let mut taken: Vec<Line> = lines.waiting.drain(..).collect();
    let dropped = std::mem::take(&mut lines.dropped);
    if dropped > 0 {
        taken.push(Line {
            level: Level::Notice,
            text: format!("{dropped} more lines like these"),
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_the_host_within_bounds() {
        log(Level::Warn, "lost".into());
        log(Level::Warn, "lost".into());
        for n in 0..2 * CAPACITY {
            log(Level::Notice, format!("line {n}"));
        }
        let taken = take();
        assert_eq!(taken.len(), CAPACITY + 1);
        assert_eq!(taken[0].text, "lost");
        assert_eq!(taken[1].text, "line 0");
        assert_eq!(
            taken[CAPACITY].text,
            format!("{} more lines like these", CAPACITY + 2)
        );
        assert!(take().is_empty());
    }
}
