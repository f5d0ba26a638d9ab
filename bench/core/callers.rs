//! What the benches of the core share: a storage on the database that bench/core.sh has filled, and
//! callers who each want one session after another of it.

use openssl::hash::{MessageDigest, hash};
use resty_session_postgres::config::{Draft, Value};
use resty_session_postgres::{Epoch, Set, Storage};
use std::env;
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

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

#[derive(Clone)]
pub struct Caller {
    storage: Storage,
    keys: Arc<[String]>,
    value: Arc<str>,
    random: Random,
}

impl Caller {
    /// A caller of the server that the environment names. There is no default: a set overwrites
    /// what it finds.
    pub fn new() -> Self {
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
        let mut random = Random(1);
        Caller {
            storage: Storage::new(draft.build().expect("a valid configuration")),
            keys: (1..=number("BENCH_ROWS")).map(key).collect(),
            value: random.text(number("SIZE")).into(),
            random,
        }
    }

    /// Another caller of the same storage, with an order of its own.
    pub fn another(&mut self) -> Self {
        Caller {
            random: Random(self.random.next()),
            ..self.clone()
        }
    }

    /// One operation on a session picked at random, which has to succeed.
    pub fn call(&mut self, path: Path) {
        let picked = self.random.next() % self.keys.len() as u64;
        let key = &self.keys[picked as usize];
        let now = Epoch::now();
        match path {
            Path::Get => {
                let value = self.storage.get(key, now).expect("an answer");
                assert_eq!(value.expect("a session").len(), self.value.len());
            }
            Path::Set => self
                .storage
                .set(Set {
                    name: "session".into(),
                    key: key.clone(),
                    value: self.value.as_ref().into(),
                    expires: now.plus(360_000),
                    old: None,
                    metadata: Vec::new(),
                })
                .expect("a stored session"),
        }
    }
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

/// SplitMix64: as cheap as a benchmark wants it.
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
        (0..length)
            .map(|_| char::from(ALPHABET[(self.next() >> 58) as usize]))
            .collect()
    }
}
