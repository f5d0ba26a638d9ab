//! One operation as data: what the caller wants, checked, and what comes of it.

mod alone;
mod epoch;
mod output;
mod text;

pub(crate) use alone::Alone;
pub use alone::Manage;
pub use epoch::Epoch;
pub use output::{Finding, Outcome, Output, Session, Swept};
pub use text::{MAX_TEXT_BYTES, key, text};

/// An operation on the storage.
#[derive(Debug)]
pub enum Operation {
    /// Saves a session.
    Set(Set),
    /// Reads a session's data.
    Get(Get),
    /// Deletes a session and its metadata.
    Delete {
        /// The session's key.
        key: String,
    },
    /// Lists the live sessions of a subject.
    ReadMetadata(ReadMetadata),
    /// One of [`crate::manage`], which is made by `into()`.
    Manage(Manage),
}

/// What [`Operation::Set`] saves. All of it takes place, or nothing.
#[derive(Debug)]
pub struct Set {
    /// The session's (the cookie's) name.
    pub name: String,
    /// The session's key.
    pub key: String,
    /// The session's data.
    pub value: String,
    /// When the session ends; it is alive in that second still.
    pub expires: Epoch,
    /// What becomes of the session that this one replaces.
    pub old: Option<Old>,
    /// Pairs of an audience and a subject under which the session is to be found.
    pub metadata: Vec<(String, String)>,
}

/// What becomes of a replaced session.
#[derive(Debug)]
pub enum Old {
    /// It is deleted.
    Delete {
        /// Its key.
        key: String,
    },
    /// It ends at that time, unless it ends earlier.
    Expire {
        /// Its key.
        key: String,
        /// When it ends at the latest.
        at: Epoch,
    },
}

impl Old {
    /// The replaced session's key.
    pub fn key(&self) -> &str {
        match self {
            Old::Delete { key } | Old::Expire { key, .. } => key,
        }
    }
}

/// What [`Operation::Get`] reads.
#[derive(Debug)]
pub struct Get {
    /// The session's key.
    pub key: String,
    /// A session that ended before is not found.
    pub now: Epoch,
}

/// What [`Operation::ReadMetadata`] lists.
#[derive(Debug)]
pub struct ReadMetadata {
    /// The audience.
    pub audience: String,
    /// The subject.
    pub subject: String,
    /// A session that ended before is left out.
    pub now: Epoch,
}

impl Operation {
    /// Settles what one call says about one row twice: a session that replaces itself is saved,
    /// with the earlier of the two ends, and is never deleted by its own save.
    pub(crate) fn normalized(mut self) -> Self {
        if let Operation::Set(set) = &mut self
            && set.old.as_ref().is_some_and(|old| old.key() == set.key)
            && let Some(Old::Expire { at, .. }) = set.old.take()
        {
            set.expires = set.expires.min(at);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_replaces_itself_stays() {
        let set = |old| {
            Operation::Set(Set {
                name: "n".into(),
                key: "k".into(),
                value: "v".into(),
                expires: Epoch(100),
                old: Some(old),
                metadata: vec![],
            })
        };
        let cases = [
            (Old::Delete { key: "k".into() }, 100),
            (
                Old::Expire {
                    key: "k".into(),
                    at: Epoch(50),
                },
                50,
            ),
            (
                Old::Expire {
                    key: "k".into(),
                    at: Epoch(500),
                },
                100,
            ),
        ];
        for (old, expires) in cases {
            let Operation::Set(set) = set(old).normalized() else {
                panic!("still a set");
            };
            assert!(set.old.is_none());
            assert_eq!(set.expires, Epoch(expires));
        }
    }
}
