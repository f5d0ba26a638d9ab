//! What comes of an operation.

use super::Epoch;
use crate::Error;
use std::time::Duration;

/// What comes of an operation.
pub type Outcome = Result<Output, Error>;

/// What an operation that succeeded answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The session is committed.
    Stored,
    /// The session's data; `None` where there is no such session, or it has ended.
    Value(Option<String>),
    /// There is no such session any more.
    Deleted,
    /// The keys of live sessions and the second in which each ends.
    Metadata(Vec<(String, Epoch)>),
    /// How many sessions there are, or were.
    Count(u64),
    /// Live sessions, in the order of their keys.
    Sessions(Vec<Session>),
    /// Whether there is such a live session.
    Touched(bool),
    /// What is wrong or slow about the tables.
    Findings(Vec<Finding>),
    /// What one statement has cleaned up in the background.
    Swept(Swept),
}

/// A session as it is listed, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The key.
    pub key: String,
    /// The session's (the cookie's) name.
    pub name: String,
    /// When it ends; it is alive in that second still.
    pub expires: Epoch,
    /// When its key was first saved, where the sessions table has a column `created` that says so.
    pub created: Option<Epoch>,
}

/// Something about the tables that is wrong or slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, and what comes of it.
    pub problem: String,
    /// The statement that repairs it, or several.
    pub repair: String,
    /// It concerns what the tables are like, and not what is in them or who may use them.
    pub(crate) structural: bool,
}

/// What came of one statement that cleans up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// It was this process's turn.
    pub ours: bool,
    /// How many sessions were deleted.
    pub removed: u32,
    /// How long it took.
    pub took: Duration,
    /// When the last of those deleted had ended; `None` where that is not known.
    pub until: Option<Epoch>,
}
