//! Ctrl-C, SIGTERM and SIGHUP: what the server runs for the command is cancelled. Without that it would
//! go on, and others would wait for its locks.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// As shells report a program that SIGINT has ended.
const CODE: i32 = 130;

/// From now on these signals end the command. The library ends its connections at exit.
pub fn handle() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::Relaxed);
        eprintln!("resty-session-postgres: interrupted; what the server was doing is cancelled");
        process::exit(CODE);
    })
}

/// To be called before the program ends by itself. Where a signal is ending it, this does not return.
pub fn let_exit() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}
