//! What every door offers: the four operations of the storage, and the two ways to fail.

use std::collections::BTreeMap;

use super::request::{Answer, Request};
use super::value::Value;

/// One way to call the storage.
pub trait Door {
    fn set(&self, conf: &Conf, set: &Set) -> Result<(), Failure>;

    /// Without `now`, the caller names no time.
    fn get(
        &self,
        conf: &Conf,
        name: &[u8],
        key: &[u8],
        now: Option<f64>,
    ) -> Result<Option<Vec<u8>>, Failure>;

    fn delete(
        &self,
        conf: &Conf,
        name: &[u8],
        key: &[u8],
        now: Option<f64>,
        metadata: Option<Pairs>,
    ) -> Result<(), Failure>;

    /// Keys with their expiries, in epoch seconds.
    fn read_metadata(
        &self,
        conf: &Conf,
        name: &[u8],
        audience: &[u8],
        subject: &[u8],
        now: f64,
    ) -> Result<BTreeMap<String, i64>, Failure>;

    /// The operations of people who run a site.
    fn ask(&self, conf: &Conf, request: &Request) -> Result<Answer, Failure>;
}

/// Audiences with their subjects.
pub type Pairs<'a> = &'a [(&'a [u8], &'a [u8])];

/// The arguments of one `set`.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    pub name: &'a [u8],
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub ttl: f64,
    pub now: f64,
    pub old_key: Option<&'a [u8]>,
    pub stale_ttl: Option<f64>,
    pub metadata: Option<Pairs<'a>>,
    pub remember: Option<bool>,
}

/// The storage's configuration, by the names of its keys.
pub type Conf = BTreeMap<String, Value>;

#[derive(Debug)]
pub enum Failure {
    /// The caller's mistake: a Lua error, without the position it begins with.
    Raised(String),
    /// What went wrong at run time: the second value after nil.
    Failed(String),
}

impl Failure {
    pub fn raised(self) -> String {
        match self {
            Failure::Raised(message) => message,
            Failure::Failed(message) => panic!("not raised, but answered: {message}"),
        }
    }

    pub fn failed(self) -> String {
        match self {
            Failure::Failed(message) => message,
            Failure::Raised(message) => panic!("not answered, but raised: {message}"),
        }
    }
}
