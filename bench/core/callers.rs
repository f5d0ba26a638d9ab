//! What the benchmarks of the core share: a storage on the database that bench/core.sh has filled, and
//! callers that each read or save one session after another in it.

use crate::plain_pool::PlainPool;
use openssl::hash::{MessageDigest, hash};
use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::ops::{Get, Set};
use resty_session_postgres::{Epoch, Storage};
use std::env;
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

const TTL: Duration = Duration::from_secs(360_000);

#[derive(Clone, Copy)]
pub enum Path {
    Get,
    Set,
}

impl FromStr for Path {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "get" => Ok(Path::Get),
            "set" => Ok(Path::Set),
            other => Err(format!("expected get or set, got {other}")),
        }
    }
}

/// What is measured.
#[derive(Clone)]
enum Subject {
    Ours(Storage),
    R2d2Postgres(PlainPool),
}

#[derive(Clone)]
pub struct Caller {
    subject: Subject,
    keys: Arc<[String]>,
    value: Arc<str>,
    random: Random,
}

impl Caller {
    /// A caller of `ours` or `r2d2_postgres`, with the server that the environment names. There is no
    /// default server: a set overwrites the session it finds.
    pub fn new(subject: &str) -> Self {
        let subject = match subject {
            "ours" => Subject::Ours(ours()),
            "r2d2_postgres" => Subject::R2d2Postgres(plain_pool()),
            other => panic!("expected ours or r2d2_postgres, got {other}"),
        };
        let mut random = Random(1);
        Caller {
            subject,
            keys: (1..=number("BENCH_ROWS")).map(key).collect(),
            value: random.text(number("SIZE")).into(),
            random,
        }
    }

    /// Another caller of the same storage, with an order of its own.
    pub fn another(&mut self) -> Self {
        Caller { random: Random(self.random.next()), ..self.clone() }
    }

    /// One operation on a random session, which has to succeed.
    pub fn call(&mut self, path: Path) {
        let picked = self.random.next() % self.keys.len() as u64;
        let key = &self.keys[picked as usize];
        match path {
            Path::Get => {
                let value = self.subject.get(key).expect("a session");
                assert_eq!(value.len(), self.value.len());
            }
            Path::Set => self.subject.set(key, &self.value),
        }
    }
}

impl Subject {
    fn get(&self, key: &str) -> Option<String> {
        match self {
            Subject::Ours(storage) => {
                let get = Get::new(key, Epoch::now()).expect("a valid key");
                storage.call(get).expect("an answer")
            }
            Subject::R2d2Postgres(pool) => pool.get(key),
        }
    }

    fn set(&self, key: &str, value: &str) {
        match self {
            Subject::Ours(storage) => {
                let expires = Epoch::now().plus(TTL.as_secs().cast_signed());
                let set = Set::new("session", key, value, expires).expect("valid arguments");
                storage.call(set).expect("a stored session");
            }
            Subject::R2d2Postgres(pool) => pool.set(key, value, TTL),
        }
    }
}

fn ours() -> Storage {
    let mut draft = Draft::default();
    for (key, value) in [
        ("port", variable("BENCH_PORT")),
        ("password", variable("BENCH_PASSWORD")),
        ("database", variable("BENCH_DATABASE")),
        ("pool_size", variable("POOL_SIZE")),
        ("application", "bench-core".into()),
    ] {
        draft.set(key, &Value::Text(value)).expect("a valid value");
    }
    Storage::new(draft.build().expect("a valid configuration"))
}

fn plain_pool() -> PlainPool {
    let mut config = postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(number("BENCH_PORT").try_into().expect("a port"))
        .user("postgres")
        .password(variable("BENCH_PASSWORD"))
        .dbname(&variable("BENCH_DATABASE"))
        .application_name("bench-core");
    PlainPool::new(config, number("POOL_SIZE").try_into().expect("a pool size"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run bench/core.sh"))
}

fn number(name: &str) -> usize {
    variable(name).parse().expect("a whole number")
}

/// The key of a session's number, as bench/lib/postgres.sh makes it.
fn key(number: usize) -> String {
    let digest = hash(MessageDigest::md5(), number.to_string().as_bytes()).expect("OpenSSL's MD5");
    let mut key = String::new();
    for byte in digest.iter() {
        write!(key, "{byte:02x}").expect("writing to a String cannot fail");
    }
    format!("{key:_<43}")
}

/// SplitMix64: cheap enough for a benchmark.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Text that does not compress, as sessions are encrypted.
    fn text(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..length).map(|_| char::from(ALPHABET[(self.next() >> 58) as usize])).collect()
    }
}
