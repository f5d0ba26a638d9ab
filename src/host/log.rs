//! Log lines for the host. A library in nginx must not write to stdout or stderr, and its threads
//! cannot call nginx; so lines wait here until the host takes them. A host whose log any thread may
//! write to can have them at once instead (`sink`).

pub(crate) mod sink;

use super::{fork::ForkLocal, lock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What is kept until the host comes; an outage must not fill its memory.
const CAPACITY: usize = 64;

/// How urgent a line is.
/// cbindgen:prefix-with-name
/// cbindgen:rename-all=ScreamingSnakeCase
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Normal operation.
    Info = 0,
    /// Unusual, but no failure.
    Notice = 1,
    /// Needs attention: a connection that was lost, for example.
    Warn = 2,
    /// Operations fail: a server cannot be reached, or a table is missing. Or a defect of this library.
    Error = 3,
}

impl Level {
    /// The name of nginx's level, in capitals as in ngx_lua's constants.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "INFO",
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

#[derive(Default)]
struct Lines {
    waiting: Vec<Line>,
    dropped: usize,
}

/// A child of a fork starts without lines: those of its parent are for its parent to write, and a
/// thread of the parent may have held the lock when it forked.
static LINES: ForkLocal<Mutex<Lines>> = ForkLocal::new();

/// Whether there are lines: asked after each operation, so without a lock.
static ANY: AtomicBool = AtomicBool::new(false);

fn lines() -> MutexGuard<'static, Lines> {
    lock(LINES.get_or_init(Mutex::default))
}

/// Whether a character may end a line, control a terminal or change the direction of what follows.
pub fn is_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with such characters escaped: one line.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match is_control(character) {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}

/// How many characters of a text of the server's are kept.
const EXCERPT: usize = 500;

/// The beginning of a text of the server's, or of an attacker in its place, for errors and lines.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => printable(&text[..end]) + "…",
        None => printable(text),
    }
}

/// Leaves a line for the host. A repetition of the last one, and what is beyond the capacity, is
/// counted instead of kept. To be called without any lock that others wait for.
pub(crate) fn log(level: Level, text: String) {
    let text = printable(&text);
    let line = Line { level, text };
    if sink::write(&line) {
        return;
    }
    let mut lines = lines();
    ANY.store(true, Ordering::Relaxed);
    if lines.waiting.last() == Some(&line) || lines.waiting.len() >= CAPACITY {
        lines.dropped += 1;
    } else {
        lines.waiting.push(line);
    }
}

/// How often a line of one kind is written at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lines of one kind: the first is written at once, and what follows within [`INTERVAL`] is counted
/// and mentioned in the next one.
#[derive(Default)]
pub(crate) struct Limited(Mutex<(Option<Instant>, usize)>);

impl Limited {
    pub(crate) const fn new() -> Self {
        Limited(Mutex::new((None, 0)))
    }

    /// Leaves the line that `text` makes for the host, if it is time for one.
    pub(crate) fn log(&self, level: Level, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let mut state = lock(&self.0);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            *left_out += 1;
            return;
        }
        *last = Some(now);
        let more = std::mem::take(left_out);
        drop(state);
        let mut text = text();
        if more > 0 {
            text += &format!(" (and {more} times before, not logged)");
        }
        log(level, text);
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
    let Lines { mut waiting, dropped } = std::mem::take(&mut *lines);
    if dropped > 0 {
        let (level, text) = (Level::Notice, format!("{dropped} more lines like these"));
        waiting.push(Line { level, text });
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::super::fork::tests::holds_in_a_child;
    use super::*;

    /// The lines are the process's: one test of them at a time.
    pub(super) fn one_at_a_time() -> MutexGuard<'static, ()> {
        static LOCK: Mutex<()> = Mutex::new(());
        let guard = lock(&LOCK);
        take();
        guard
    }

    #[test]
    fn what_ends_a_line_controls_a_terminal_or_turns_a_text_round_is_escaped() {
        let plain = "caf\u{e9} \u{65e5}\u{672c} \u{2027}\u{202f}\u{2065}\u{206a}";
        assert_eq!(printable(plain), plain);
        let ranges = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{2028}'..='\u{202e}',
            '\u{2066}'..='\u{2069}',
        ];
        for character in ranges.into_iter().flatten() {
            let text = format!("a{character}b");
            assert_eq!(printable(&text), format!("a{}b", character.escape_default()));
        }
    }

    #[test]
    fn lines_wait_for_the_host_within_bounds() {
        let _guard = one_at_a_time();
        log(Level::Warn, "lost\r\n\u{2029}".into());
        log(Level::Warn, "lost\r\n\u{2029}".into());
        for n in 0..2 * CAPACITY {
            log(Level::Notice, format!("line {n}"));
        }
        let taken = take();
        assert_eq!(taken.len(), CAPACITY + 1);
        assert_eq!(taken[0].text, r"lost\r\n\u{2029}");
        assert_eq!(taken[1].text, "line 0");
        assert_eq!(taken[CAPACITY].text, format!("{} more lines like these", CAPACITY + 2));
        assert!(take().is_empty());
    }

    #[test]
    fn lines_of_one_kind_are_written_once_in_a_while() {
        let _guard = one_at_a_time();
        let limited = Limited::default();
        for n in 0..5 {
            limited.log(Level::Info, || format!("of one kind: {n}"));
        }
        let past = Instant::now().checked_sub(INTERVAL);
        limited.0.lock().expect("no panic").0 = past;
        limited.log(Level::Info, || "of one kind: last".into());
        let ours = |line: &Line| line.text.starts_with("of one kind");
        let taken: Vec<_> = take().into_iter().filter(ours).collect();
        assert_eq!(taken.len(), 2, "{taken:?}");
        assert_eq!(taken[0].text, "of one kind: 0");
        assert_eq!(taken[1].text, "of one kind: last (and 4 times before, not logged)");
    }

    /// A thread of the parent's may be inside `log` when it forks.
    #[test]
    fn a_child_whose_parent_was_logging_can_log() {
        let _guard = one_at_a_time();
        let _held = lines();
        assert!(holds_in_a_child(|| {
            log(Level::Warn, "from the child".into());
            take().len() == 1
        }));
    }
}
