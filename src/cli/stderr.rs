//! What goes to standard error: remarks, what the library logs, and on a terminal how far the command is.
//! With `--quiet`, only errors.

use resty_session_postgres::Storage;
use resty_session_postgres::log::{self, Level, printable};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often log lines are looked for.
const TICK: Duration = Duration::from_millis(100);

/// A step that takes longer than this shows for how long it has been under way.
const LONG_STEP: Duration = Duration::from_secs(2);

struct State {
    quiet: bool,
    terminal: bool,
    /// How far the command is, and since when.
    progress: Option<(String, Instant)>,
    /// The cursor's line shows it.
    drawn: bool,
    /// Lines of the library that have waited for less than a tick: an error that is about to end the
    /// command may say the same.
    lines: Vec<log::Line>,
    /// The last line that was printed.
    said: String,
    /// It has been said that connecting is tried again.
    retrying: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    quiet: true,
    terminal: false,
    progress: None,
    drawn: false,
    lines: Vec::new(),
    said: String::new(),
    retrying: false,
});

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on prints what the storage's operations log, unless `quiet`.
pub fn start(quiet: bool, storage: &Storage) -> io::Result<()> {
    if quiet {
        return Ok(());
    }
    let mut state = state();
    (state.quiet, state.terminal) = (false, io::stderr().is_terminal());
    let storage = storage.clone();
    let watch = move || loop {
        thread::sleep(TICK);
        self::state().tick(&storage);
    };
    thread::Builder::new().name("stderr".to_owned()).spawn(watch).map(drop)
}

/// Prints a line.
pub fn say(text: &str) {
    state().line(text);
}

/// Prints a line, unless with `--quiet`.
pub fn remark(text: &str) {
    let mut state = state();
    if !state.quiet {
        state.line(text);
    }
}

/// Whether anybody sees the progress.
pub fn shows_progress() -> bool {
    state().terminal
}

/// Shows on a terminal how far the command is, in place of what was shown before.
pub fn progress(text: String) {
    let mut state = state();
    if state.terminal {
        if state.progress.as_ref().is_none_or(|(shown, _)| *shown != text) {
            state.progress = Some((text, Instant::now()));
        }
        state.draw();
    }
}

/// The operation has ended: takes away what was shown, and prints what is left of the log.
pub fn end() {
    let mut state = state();
    state.clear();
    state.progress = None;
    state.take_lines();
    state.print_lines();
}

/// The command has failed. What the log says of that is not said twice.
pub fn fail(error: &str) {
    let mut state = state();
    state.clear();
    state.progress = None;
    state.take_lines();
    state.lines.retain(|line| !line.text.starts_with(error));
    state.print_lines();
    if state.said != error {
        state.line(error);
    }
}

impl State {
    fn tick(&mut self, storage: &Storage) {
        let failed = self.lines.iter().any(|line| line.level == Level::Error);
        self.print_lines();
        if failed && !self.retrying && !is_connected(storage) {
            self.retrying = true;
            self.line("trying again until connect_timeout is over (PGCONNECT_TIMEOUT)");
        }
        self.take_lines();
        self.draw();
    }

    fn take_lines(&mut self) {
        let lines = log::take().into_iter();
        self.lines.extend(lines.filter(|line| line.level >= Level::Warn));
    }

    fn print_lines(&mut self) {
        for line in std::mem::take(&mut self.lines) {
            if !self.quiet {
                self.line(&line.text);
            }
        }
    }

    /// Prints a line above the progress. The terminal may be gone.
    fn line(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(io::stderr(), "resty-session-postgres: {}", printable(text));
        text.clone_into(&mut self.said);
        self.draw();
    }

    /// Draws the progress on the cursor's line. What is longer than the terminal is wide is cut off.
    fn draw(&mut self) {
        if let Some((text, since)) = &self.progress {
            let took = since.elapsed();
            let took = match took > LONG_STEP {
                true => format!(" ({} s)", took.as_secs()),
                false => String::new(),
            };
            let text = printable(text);
            let _ = write!(io::stderr(), "\r\x1b[K\x1b[?7l{text}{took}\x1b[?7h");
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn is_connected(storage: &Storage) -> bool {
    let opened = "resty_session_postgres_connections_opened_total";
    let stats = storage.stats().unwrap_or_default();
    stats.iter().any(|(name, count)| name == opened && *count > 0.0)
}
