//! Clients that save and read until they are stopped, through nginx and through the crate's own
//! interface, and what is measured of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use resty_session_postgres::ops::{Get, Set};
use resty_session_postgres::{Epoch, Error, Storage};

use super::checker::{STALE_TTL, Session, TTL};
use super::client::Client;
use crate::support::process::{SetAtDrop, lock};

/// Sessions of one client, beside those that it renews.
const SESSIONS: usize = 4;

/// A client replaces its session by a new one at each so many saves.
const RENEWAL: usize = 8;

/// How long a client pauses between two operations: the machine is to be busy, and not to be full,
/// so that less work shows.
const PAUSE: Duration = Duration::from_millis(5);

/// The resolution of the measured rate.
const BUCKET: Duration = Duration::from_millis(20);
const BUCKETS: usize = 6000;

/// How a client reaches the storage.
pub enum Binding {
    Http(Client),
    Rust(Storage),
}

/// Why an operation failed; a `Cut` request got no answer from nginx at all.
pub enum Failure {
    Answer(String),
    Cut(String),
}

impl Binding {
    fn set(&self, session: &Session, number: u64) -> Result<(), Failure> {
        let (key, value) = (&session.key, session.value(number));
        match self {
            Binding::Http(client) => {
                let mut path =
                    format!("/call?do=set&key={key}&value={value}&audience={key}&subject={number}");
                if let Some(old) = &session.replaces {
                    path += &format!("&old_key={old}&stale_ttl={STALE_TTL}");
                }
                match http(client, &path)? {
                    Some(body) if body == "true" => Ok(()),
                    other => Err(Failure::Answer(format!("a strange answer: {other:?}"))),
                }
            }
            Binding::Rust(storage) => {
                let set = || {
                    let now = Epoch::now();
                    let set = Set::new("session", key, &value, now.plus(TTL))?;
                    let set = set.under(key, number.to_string())?;
                    let Some(old) = session.replaces.clone() else {
                        return storage.call(set);
                    };
                    let at = now.plus(STALE_TTL);
                    storage.call(set.replacing(old, Some(at))?)
                };
                set().map_err(|error: Error| Failure::Answer(error.to_string()))
            }
        }
    }

    fn get(&self, key: &str) -> Result<Option<String>, Failure> {
        match self {
            Binding::Http(client) => http(client, &format!("/call?do=get&key={key}")),
            Binding::Rust(storage) => Get::new(key, Epoch::now())
                .and_then(|get| storage.call(get))
                .map_err(|error| Failure::Answer(error.to_string())),
        }
    }
}

fn http(client: &Client, path: &str) -> Result<Option<String>, Failure> {
    let response = client.get(path).map_err(|error| Failure::Cut(error.to_string()))?;
    match response.status {
        200 => Ok(Some(response.body)),
        404 => Ok(None),
        _ => Err(Failure::Answer(response.body)),
    }
}

/// What is measured while clients run.
pub struct Meter {
    start: Instant,
    over: AtomicBool,
    /// Operations that succeeded, by the time of their end.
    succeeded: Vec<AtomicU32>,
    pub operations: AtomicU64,
    /// By kind.
    pub errors: Mutex<BTreeMap<String, u64>>,
    pub wrong: Mutex<Vec<String>>,
    /// Requests that nginx did not answer: when they began, and what came of them.
    pub cut: Mutex<Vec<(Instant, String)>>,
    /// In microseconds.
    slowest: AtomicU64,
    /// How long requests took that have nothing to do with the database, and when they began.
    plain: Mutex<Vec<(Instant, Duration)>>,
}

impl Meter {
    pub fn new() -> Self {
        Meter {
            start: Instant::now(),
            over: AtomicBool::new(false),
            succeeded: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
            operations: AtomicU64::new(0),
            errors: Mutex::default(),
            wrong: Mutex::default(),
            cut: Mutex::default(),
            slowest: AtomicU64::new(0),
            plain: Mutex::default(),
        }
    }

    fn bucket(&self, at: Instant) -> usize {
        let elapsed = at.saturating_duration_since(self.start);
        (elapsed.as_millis() / BUCKET.as_millis()) as usize % BUCKETS
    }

    fn note(&self, began: Instant, error: Option<&str>) {
        let now = Instant::now();
        let took = (now - began).as_micros() as u64;
        self.slowest.fetch_max(took, Ordering::Relaxed);
        self.operations.fetch_add(1, Ordering::Relaxed);
        match error {
            None => {
                self.succeeded[self.bucket(now)].fetch_add(1, Ordering::Relaxed);
            }
            Some(error) => *lock(&self.errors).entry(kind(error)).or_default() += 1,
        }
    }

    /// Operations that have succeeded a second, in the last `window`.
    pub fn rate(&self, window: Duration) -> f64 {
        let last = self.bucket(Instant::now());
        let number = (window.as_millis() / BUCKET.as_millis()) as usize;
        let buckets = last.saturating_sub(number)..last;
        let count: u32 = buckets.map(|n| self.succeeded[n].load(Ordering::Relaxed)).sum();
        f64::from(count) / window.as_secs_f64()
    }

    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Relaxed))
    }

    /// The 99th percentile of plain requests that began between two moments.
    pub fn plain_p99(&self, from: Instant, to: Instant) -> Duration {
        let plain = lock(&self.plain);
        let began = |(at, _): &&(Instant, Duration)| (from..to).contains(at);
        let mut times: Vec<_> = plain.iter().filter(began).map(|(_, took)| *took).collect();
        times.sort();
        assert!(times.len() > 20, "only {} plain requests", times.len());
        times[times.len() * 99 / 100]
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Stops the clients when it is dropped, also by a test that fails.
    pub fn end_when_dropped(&self) -> SetAtDrop<'_> {
        SetAtDrop(&self.over)
    }

    /// Sends requests that need no database, again and again.
    pub fn probe(&self, client: Client) {
        while !self.is_over() {
            let began = Instant::now();
            match client.get("/plain") {
                Ok(response) => {
                    assert_eq!((response.status, &*response.body), (200, "plain"));
                    lock(&self.plain).push((began, began.elapsed()));
                }
                Err(error) => lock(&self.cut).push((began, error.to_string())),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Errors that differ only in numbers and names are of one kind.
fn kind(error: &str) -> String {
    if let Some((_, state)) = error.rsplit_once("(SQLSTATE ")
        && !error.starts_with("no connection")
        && !error.starts_with("connection to")
    {
        return format!("SQLSTATE {}", state.trim_end_matches(')'));
    }
    let mut words: Vec<_> = error.split(' ').collect();
    words.retain(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    let text = words.join(" ");
    text.split([':', '(']).next().unwrap_or_default().trim().to_owned()
}

/// The sessions that a client saves again and again.
pub fn sessions_of(name: &str) -> Vec<Session> {
    let session = |n| Session::new(format!("{name}s{n}"), None);
    (0..SESSIONS).map(session).collect()
}

/// Runs a client until the time is over. Gives the sessions that replaced one another.
pub fn run(meter: &Meter, binding: Binding, all: &[Vec<Session>], me: usize) -> Vec<Session> {
    let own = &all[me];
    let mut renewed: Vec<Session> = Vec::new();
    for turn in 0.. {
        if meter.is_over() {
            break;
        }
        if turn % RENEWAL == RENEWAL - 1 {
            let name = |n: usize| format!("client{me}-{}r{n}", own[0].key);
            let old = renewed.len().checked_sub(1).map(name);
            renewed.push(Session::new(name(renewed.len()), old));
            save(meter, &binding, &renewed[renewed.len() - 1]);
        } else {
            let session = &own[turn % own.len()];
            save(meter, &binding, session);
            thread::sleep(PAUSE);
            read(meter, &binding, session);
        }
        thread::sleep(PAUSE);
        let others = &all[(me + turn) % all.len()];
        read(meter, &binding, &others[turn % others.len()]);
        thread::sleep(PAUSE);
    }
    renewed
}

fn save(meter: &Meter, binding: &Binding, session: &Session) {
    let number = session.ask();
    let began = Instant::now();
    match binding.set(session, number) {
        Ok(()) => {
            session.acknowledge(number);
            meter.note(began, None);
        }
        Err(failure) => {
            session.doubt(number);
            note_failure(meter, began, failure);
        }
    }
}

fn read(meter: &Meter, binding: &Binding, session: &Session) {
    let acknowledged = session.acknowledged();
    let began = Instant::now();
    match binding.get(&session.key) {
        Ok(found) => {
            meter.note(began, None);
            let judged = session.judge(found.as_deref(), acknowledged);
            lock(&meter.wrong).extend(judged.err());
        }
        Err(failure) => note_failure(meter, began, failure),
    }
}

fn note_failure(meter: &Meter, began: Instant, failure: Failure) {
    match failure {
        Failure::Answer(error) => meter.note(began, Some(&error)),
        Failure::Cut(error) => lock(&meter.cut).push((began, error)),
    }
}
