//! How many operations a second the core, or a plain pool of r2d2_postgres, carries out for a number of
//! blocking callers.
//!
//! Arguments: `ours` or `r2d2_postgres`, `get` or `set`, the number of threads, and the seconds. Prints
//! operations a second, the median and the 99th percentile of one operation in milliseconds.

mod callers;
mod plain_pool;

use callers::{Caller, Path};
use std::env;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    // cargo adds this argument.
    let arguments: Vec<String> =
        env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [subject, path, threads, seconds] = &arguments[..] else {
        panic!("expected what to measure, get or set, threads and seconds, got {arguments:?}");
    };
    let path: Path = path.parse().expect("get or set");
    let threads: usize = threads.parse().expect("a whole number of threads");
    let seconds: u64 = seconds.parse().expect("a whole number of seconds");

    let mut first = Caller::new(subject);
    // With this library the first operation opens a connection.
    first.call(path);

    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let callers: Vec<_> = (0..threads)
        .map(|_| {
            let caller = first.another();
            thread::spawn(move || call_until(end, caller, path))
        })
        .collect();
    let mut micros: Vec<u32> =
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect();
    let rate = micros.len() as f64 / start.elapsed().as_secs_f64();

    micros.sort_unstable();
    let percentile = |hundredth| f64::from(micros[(micros.len() - 1) * hundredth / 100]) / 1e3;
    println!("{rate:.1} {:.3} {:.3}", percentile(50), percentile(99));
}

/// The duration of each operation, in microseconds.
fn call_until(end: Instant, mut caller: Caller, path: Path) -> Vec<u32> {
    let mut micros = Vec::new();
    let mut before = Instant::now();
    while before < end {
        caller.call(path);
        let after = Instant::now();
        let took = (after - before).as_micros();
        micros.push(u32::try_from(took).unwrap_or(u32::MAX));
        before = after;
    }
    micros
}
