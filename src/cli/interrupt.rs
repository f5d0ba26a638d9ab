//! Ctrl-C, SIGTERM and SIGHUP: what the server runs for the command is cancelled. Without that it would
//! go on, and others would wait for its locks.

use crate::stderr;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, process, thread};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on these signals end the command, but for those that it was started to ignore, as by `nohup`.
/// The library ends its connections at exit.
pub fn handle() -> io::Result<()> {
    let ignored = ignored();
    let signals = [SIGHUP, SIGINT, SIGTERM].into_iter();
    let mut signals = Signals::new(signals.filter(|signal| ignored & 1 << (signal - 1) == 0))?;
    thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::Relaxed);
            stderr::say("interrupted; what the server is doing is cancelled");
            // As shells report a program that a signal has ended.
            process::exit(128 + signal);
        }
    })?;
    Ok(())
}

/// A bit for each signal that is ignored.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// To be called before the program ends by itself. Where a signal is ending it, this does not return.
pub fn let_exit() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}
