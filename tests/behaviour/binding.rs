//! What a binding is for the behaviours: it takes calls, and fails in two ways.

use std::collections::BTreeMap;

use super::call::{Answer, Call};
use super::value::Value;

/// One way to call the storage.
pub trait Binding {
    fn call(&self, conf: &Conf, call: &Call) -> Result<Answer, Failure>;
}

/// The storage's configuration, by the names of its keys.
pub type Conf = BTreeMap<String, Value>;

#[derive(Debug)]
pub enum Failure {
    /// The caller's mistake: a Lua error, without the position that it begins with.
    Raised(String),
    /// A failure at run time: the second value after nil.
    Failed(String),
}

impl Failure {
    pub fn raised(self) -> String {
        match self {
            Failure::Raised(message) => message,
            Failure::Failed(message) => panic!("not raised, but returned: {message}"),
        }
    }

    pub fn failed(self) -> String {
        match self {
            Failure::Failed(message) => message,
            Failure::Raised(message) => panic!("not returned, but raised: {message}"),
        }
    }
}
