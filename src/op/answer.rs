//! What operations answer: one enum for the bindings, and a type of its own for each Rust caller.

use super::time::Epoch;
use crate::Error;
use std::fmt;

/// What becomes of an operation.
pub type Outcome = Result<Answer, Error>;

/// What an operation that succeeded answers. Its `Debug` shows neither keys nor data.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("Done"),
            Answer::Value(None) => f.write_str("Value(None)"),
            Answer::Value(Some(value)) => write!(f, "Value({} bytes)", value.len()),
            Answer::Found(found) => write!(f, "Found({found})"),
            Answer::Count(count) => write!(f, "Count({count})"),
            Answer::Expiries(sessions) => write!(f, "Expiries({})", sessions.len()),
            Answer::Sessions(sessions) => f.debug_tuple("Sessions").field(sessions).finish(),
            Answer::Findings(findings) => f.debug_tuple("Findings").field(findings).finish(),
        }
    }
}

/// A session as it is listed, without its data. Its `Debug` shows neither key nor name.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = (self.expires, self.created);
        f.debug_tuple("Session").field(&times).finish()
    }
}

/// Something about the tables that is wrong or slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and its consequence.
    pub problem: String,
    /// The statement that repairs it, or several; `None` if an administrator has to decide.
    pub repair: Option<String>,
    /// Nothing is wrong: it says what could be better.
    pub advice: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Value;

    #[test]
    fn debug_shows_neither_keys_nor_data() {
        let text = || "secret".to_owned();
        let expires = Epoch::now();
        let listed = Session { key: text(), name: text(), expires, created: None };
        let answers = [
            Answer::Value(Some(text())),
            Answer::Expiries(vec![(text(), expires)]),
            Answer::Sessions(vec![listed]),
        ];
        let pair = (text().into_bytes(), text().into_bytes());
        let values = [Value::Text(text().into_bytes()), Value::Pairs(vec![pair])];
        let printed = format!("{answers:?} {values:?}");
        let bytes = format!("{:?}", "secret".as_bytes());
        assert!(!printed.contains("secret") && !printed.contains(&bytes), "{printed}");
    }
}
