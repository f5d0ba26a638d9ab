//! Load, reloads and faults by chance, all together, for as long as it is asked for: `make soak`.

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::checker::list;
use super::load::Meter;
use super::random::{chance, random_fault};
use super::relay::Relay;
use super::site;
use super::trial::{Ground, one_at_a_time};
use crate::support::{Cluster, process};

/// Without another word, as in `make test`.
const SHORT: Duration = Duration::from_secs(7);

/// The time between two checks.
const ROUND: Duration = Duration::from_secs(10);
const SHORT_ROUND: Duration = Duration::from_secs(3);

/// What processes may grow by after the first minute, in KiB.
const MORE_MEMORY: usize = 6_000;

/// How many more files they may have open than at the start: two workers have eight connections at most, of
/// three files each, and those of eight clients.
const MORE_FILES: usize = 32;

pub fn time() -> Option<Duration> {
    let minutes = env::var("RSP_SOAK_MINUTES").ok()?;
    let minutes: f64 = minutes.parse().expect("RSP_SOAK_MINUTES: a number");
    Some(Duration::from_secs_f64(minutes * 60.0))
}

/// What processes hold: KiB of memory, and open files.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    memory: usize,
    files: usize,
}

fn held(pids: impl IntoIterator<Item = u32>) -> Held {
    pids.into_iter().fold(Held::default(), |held, pid| Held {
        memory: held.memory + site::memory(pid),
        files: held.files + site::open_files(pid),
    })
}

/// What came of all rounds.
#[derive(Default)]
struct Sum {
    operations: u64,
    errors: BTreeMap<String, u64>,
    cut: usize,
    violations: Vec<String>,
    slowest: Duration,
    faults: BTreeMap<&'static str, usize>,
}

impl Sum {
    fn add(&mut self, (meter, wrong): (Meter, Vec<String>)) {
        self.operations += meter.operations.load(Ordering::Relaxed);
        self.cut += process::lock(&meter.cut).len();
        self.slowest = self.slowest.max(meter.slowest());
        for (kind, count) in &*process::lock(&meter.errors) {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        self.violations.extend(wrong);
    }
}

#[test]
fn load_reloads_and_faults_together() {
    let _turn = one_at_a_time();
    let long = time();
    let (lasts, round) = long.map_or((SHORT, SHORT_ROUND), |time| (time, ROUND));
    let cluster = Cluster::builder().start();
    let relay = Relay::to(cluster.port());
    // One nginx lives through all of it behind the relay, the other is reloaded now and then.
    let steady = Ground::with(&cluster, &[("port", relay.port().into())], |nginx| nginx);
    let reloaded = Ground::on(&cluster).without_kept_connections();
    let workers = || held(steady.site.nginx.worker_pids());
    let master = || held([reloaded.site.nginx.pid()]);
    let start = Instant::now();
    let mut sum = Sum::default();
    let mut sizes = vec![(workers(), master())];
    while start.elapsed() < lasts {
        let mut second = None;
        let first = steady.under_load(|_| {
            second = Some(reloaded.under_load(|_| {
                let began = Instant::now();
                while began.elapsed() < round {
                    thread::sleep(Duration::from_millis(300 + chance(500)));
                    let name = random_fault(&cluster, &relay, Some(&reloaded.site.nginx));
                    *sum.faults.entry(name).or_default() += 1;
                }
                // What was going on then has its time to end.
                thread::sleep(Duration::from_millis(500));
            }));
        });
        sum.add(first);
        sum.add(second.expect("it has run"));
        if sizes.len() == 1 && start.elapsed() >= Duration::from_secs(60).min(lasts / 2) {
            sizes.push((workers(), master()));
        }
    }
    sizes.push((workers(), master()));

    println!("{:.0?} of load, reloads and faults: {:?}", start.elapsed(), sum.faults);
    println!(
        "{} operations, errors {:?}, {} cut by nginx, {} violations, slowest {:.0?}",
        sum.operations,
        sum.errors,
        sum.cut,
        sum.violations.len(),
        sum.slowest,
    );
    println!(
        "steady workers and reloaded master at the start, after a minute, at the end: {sizes:?}"
    );
    assert!(sum.violations.is_empty(), "{}", list(&sum.violations));
    assert_eq!(sum.cut, 0, "requests got no response");
    let deadline = site::CONNECT + site::ANSWER + Duration::from_millis(250);
    assert!(sum.slowest < deadline, "{:?}", sum.slowest);
    let (start, early, late) = (sizes[0], sizes[sizes.len() - 2], sizes[sizes.len() - 1]);
    for (start, early, late) in [(start.0, early.0, late.0), (start.1, early.1, late.1)] {
        // In a few seconds, memory is still being got used to.
        let is_small = late.memory < early.memory + MORE_MEMORY;
        assert!(is_small || long.is_none(), "{sizes:?}");
        assert!(late.files <= start.files + MORE_FILES, "{sizes:?}");
    }
    for ground in [&steady, &reloaded] {
        // The server may be back from its last restart for a moment only.
        let works = || ground.site.set("works", "yes").status == 200;
        process::wait_until(5, "a set succeeds", works);
        ground.site.assert_works();
    }
}
