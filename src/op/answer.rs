//! What operations answer: one enum for the bindings, and a type of its own for each Rust caller.

use super::time::Epoch;
use crate::Error;

/// What becomes of an operation.
pub type Outcome = Result<Answer, Error>;

/// What an operation that succeeded answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and a write is committed.
    Done,
    /// A session's data; `None` where there is no live session.
    Value(Option<String>),
    /// Whether there is such a live session.
    Found(bool),
    /// A number.
    Count(u64),
    /// The keys of live sessions and the second in which each expires.
    Expiries(Vec<(String, Epoch)>),
    /// Live sessions, in the order of their keys.
    Sessions(Vec<Session>),
    /// What is wrong or slow about the tables.
    Findings(Vec<Finding>),
}

/// A session as it is listed, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The key.
    pub key: String,
    /// The session's (the cookie's) name.
    pub name: String,
    /// When it expires; it is alive in that second still.
    pub expires: Epoch,
    /// When its key was first saved, where the sessions table has a column `created` that says so.
    pub created: Option<Epoch>,
}

/// Something about the tables that is wrong or slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and its consequence.
    pub problem: String,
    /// The statement that repairs it, or several.
    pub repair: String,
    /// Whether `migrate` repairs it: it concerns the tables' structure, not their rows or privileges.
    pub(crate) structural: bool,
}

/// A type of answers.
pub trait Typed: Into<Answer> + Send {
    /// The typed answer; `None` for an answer of another type.
    fn from_answer(answer: Answer) -> Option<Self>;
}

/// Each variant with the type that it holds.
macro_rules! typed {
    ($($variant:ident: $type:ty),*) => {$(
        impl From<$type> for Answer {
            fn from(value: $type) -> Self {
                Answer::$variant(value)
            }
        }

        impl Typed for $type {
            fn from_answer(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$variant(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}

typed! {
    Value: Option<String>,
    Found: bool,
    Count: u64,
    Expiries: Vec<(String, Epoch)>,
    Sessions: Vec<Session>,
    Findings: Vec<Finding>
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Answer::Done
    }
}

impl Typed for () {
    fn from_answer(answer: Answer) -> Option<Self> {
        (answer == Answer::Done).then_some(())
    }
}
