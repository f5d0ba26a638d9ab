//! A trial: something breaks under load and is mended. Whatever it was, nothing that was
//! acknowledged is lost, no client gets another's value, deadlines are kept, requests that do not use
//! the database are served as before, and soon after the end all is as it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::Storage;
use serde_json::{Value as Json, json};

use super::checker::{HISTORY, Session, list, verify};
use super::client::Client;
use super::load::{self, Binding, Meter};
use super::site::{self, ANSWER, CONNECT, Site};
use crate::support::{Cluster, NginxBuilder, process};

const HTTP_CLIENTS: usize = 8;
const RUST_CLIENTS: usize = 2;

/// What an operation may take beyond its deadline.
const NOISE: Duration = Duration::from_millis(250);

/// What the slowest hundredth of plain requests may take beyond twice its usual time. Where connections
/// end, PostgreSQL starts as many processes at once, and nginx has to wait for its turn. In 40 trials
/// on two cores with nothing else to do it took 0.5 to 8 ms, at most 3.4 ms beyond twice what it took
/// before (0.5 to 6 ms, and 36 once); at most 6 ms with other work on the machine.
const SCHEDULER: Duration = Duration::from_millis(10);

/// The time that the usual rate is measured in, and the one in which it has to be reached again.
const USUAL: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_millis(200);

/// Full rate is this part of the usual one: the machine has other things to do, too.
const FULL: f64 = 0.75;

/// How long after the end of the trouble the full rate may come.
const RECOVERY: Duration = Duration::from_secs(2);

/// One trial at a time: they measure.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    process::lock(&TURN)
}

/// A site with two workers, and the same storage in this process.
pub struct Ground<'a> {
    pub site: Site<'a>,
    storage: Storage,
    /// Whether clients keep their connections to nginx.
    keep: bool,
    rounds: AtomicU64,
}

impl<'a> Ground<'a> {
    pub fn on(cluster: &'a Cluster) -> Self {
        Self::with(cluster, &[], |nginx| nginx)
    }

    /// With more settings of the storage, and of nginx.
    pub fn with(
        cluster: &'a Cluster,
        settings: &[(&str, Json)],
        change: impl FnOnce(NginxBuilder) -> NginxBuilder,
    ) -> Self {
        let mut plan = site::on(cluster).nginx(|nginx| change(nginx.workers(2)));
        for (key, value) in settings {
            plan = plan.conf(key, value.clone());
        }
        let site = plan.start();
        let answer = ANSWER.as_millis() as u64 / 2;
        let mut keys = json!({
            "connect_timeout": CONNECT.as_millis() as u64,
            "send_timeout": answer,
            "read_timeout": answer,
        });
        for (key, value) in settings {
            keys[key] = value.clone();
        }
        site.sql().batch_execute(HISTORY).expect("a history");
        Ground {
            storage: cluster.storage(&site.database, keys),
            site,
            keep: true,
            rounds: AtomicU64::new(0),
        }
    }

    /// Only with clients of nginx, which connect for each request: a worker that exits may close a kept
    /// connection just when the next request is sent.
    pub fn without_kept_connections(mut self) -> Self {
        self.keep = false;
        self
    }

    fn http_client(&self) -> Client {
        Client::new(self.site.nginx.port(), self.keep)
    }

    fn binding(&self, client: usize) -> Binding {
        match client < HTTP_CLIENTS {
            true => Binding::Http(self.http_client()),
            false => Binding::Rust(self.storage.clone()),
        }
    }

    /// Runs clients while `body` does; gives what they measured and what was found to be wrong.
    pub fn under_load(&self, body: impl FnOnce(&Meter)) -> (Meter, Vec<String>) {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let clients = HTTP_CLIENTS + if self.keep { RUST_CLIENTS } else { 0 };
        let all: Vec<Vec<Session>> =
            (0..clients).map(|client| load::sessions_of(&format!("{round}c{client}"))).collect();
        let meter = Meter::new();
        let mut renewed = Vec::new();
        thread::scope(|scope| {
            let _end = meter.end_when_dropped();
            let (all, meter) = (&all, &meter);
            let clients: Vec<_> = (0..clients)
                .map(|client| {
                    let binding = self.binding(client);
                    scope.spawn(move || load::run(meter, binding, all, client))
                })
                .collect();
            let probe = self.http_client();
            scope.spawn(move || meter.probe(probe));
            {
                let _end = meter.end_when_dropped();
                body(meter);
            }
            for client in clients {
                renewed.extend(client.join().expect("no panic"));
            }
        });
        let sessions: Vec<&Session> = all.iter().flatten().chain(&renewed).collect();
        let mut wrong = std::mem::take(&mut *process::lock(&meter.wrong));
        let mut sql = self.site.sql();
        wrong.extend(verify(&mut sql, &sessions));
        sql.batch_execute("TRUNCATE sessions, sessions_meta, history").expect("empty tables");
        (meter, wrong)
    }
}

impl Ground<'_> {
    /// Runs a trial: `trouble` returns when the database is as it was. `errors` are the kinds of errors
    /// that clients may get.
    pub fn trial(&self, name: &str, errors: &[&str], trouble: impl FnOnce()) {
        let wrong = run(self, name, errors, trouble);
        assert!(wrong.is_empty(), "{name}:\n{}", list(&wrong));
    }
}

fn run(ground: &Ground, name: &str, expected: &[&str], trouble: impl FnOnce()) -> Vec<String> {
    let workers = ground.site.nginx.worker_pids();
    let mut usual = 0.0;
    let start = Instant::now();
    let (mut warm, mut began, mut mended) = (start, start, start);
    let mut back = None;
    let (meter, wrong) = ground.under_load(|meter| {
        thread::sleep(Duration::from_millis(200));
        warm = Instant::now();
        thread::sleep(USUAL);
        usual = meter.rate(USUAL);
        began = Instant::now();
        trouble();
        mended = Instant::now();
        while back.is_none() && mended.elapsed() < RECOVERY * 2 {
            thread::sleep(Duration::from_millis(10));
            back = (meter.rate(WINDOW) >= usual * FULL).then(|| mended.elapsed());
        }
        thread::sleep(Duration::from_millis(200));
    });
    let p99_normal = meter.plain_p99(warm, began);
    let p99 = meter.plain_p99(began, Instant::now());
    let errors = process::lock(&meter.errors);
    let violations = wrong.len();
    println!(
        "{name}: {} operations, {usual:.0} a second, errors {errors:?}, {violations} violations, \
         slowest {:.0?}, lasted {:.1?}, full rate after {back:.0?}, plain p99 {p99:.1?} \
         ({p99_normal:.1?} before)",
        meter.operations.load(Ordering::Relaxed),
        meter.slowest(),
        mended - began,
    );

    for kind in errors.keys() {
        let is_expected = expected.contains(&&**kind);
        assert!(is_expected, "{name}: unexpected: {errors:?}");
    }
    let cut = process::lock(&meter.cut);
    assert!(cut.is_empty(), "{name}: {cut:?}");
    let slowest = meter.slowest();
    assert!(slowest < CONNECT + ANSWER + NOISE, "{name}: {slowest:?}");
    let back = back.unwrap_or_else(|| panic!("{name}: not back to {usual} a second"));
    assert!(back < RECOVERY + NOISE, "{name}: back after {back:?}");
    assert!(
        p99 < p99_normal * 2 + SCHEDULER,
        "{name}: plain requests took {p99:?} instead of {p99_normal:?}"
    );
    assert_eq!(ground.site.nginx.worker_pids(), workers, "{name}");
    wrong
}
