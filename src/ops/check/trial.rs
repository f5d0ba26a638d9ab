//! `check` with `try`: what a site does all day, done once and rolled back.

use crate::Error;
use crate::db::{Db, Fault, Verdict};
use crate::op::{Epoch, Finding, Operation};
use crate::ops::{Delete, Get, ReadMetadata, Set};
use std::hash::{BuildHasher, RandomState};

/// As long as lua-resty-session's.
const KEY_LENGTH: usize = 43;

/// The data of a session of some size.
const VALUE: usize = 2_000;

/// What fails, if anything does.
pub(super) fn findings(db: &mut Db<'_>) -> Result<Option<Finding>, Fault> {
    let mut step = "Beginning a transaction";
    let tried = db.rolled_back(|db| trial(db, &mut step));
    let problem = match tried {
        Ok(None) => return Ok(None),
        Ok(Some(problem)) => problem.to_owned(),
        // No session has these keys, so none has ended.
        Err(fault) if matches!(fault.error, Error::Ended) => {
            format!("{step} stores nothing. A trigger or a rule may be the reason.")
        }
        Err(fault) if fault.connection == Verdict::Usable && !fault.is_lock() => {
            format!("{step} fails: {}.", fault.error)
        }
        Err(fault) => return Err(fault),
    };
    let problem = format!("{problem} This was tried, and rolled back.");
    Ok(Some(Finding { problem, repair: None, advice: false }))
}

/// Does it, and says which answer is wrong. `step` is what is being done.
fn trial(db: &mut Db<'_>, step: &mut &str) -> Result<Option<&'static str>, Fault> {
    let random = || RandomState::new().hash_one(KEY_LENGTH);
    let key =
        |start: &str| format!("{start}{:0>width$x}", random(), width = KEY_LENGTH - start.len());
    let (old, new, subject) = (key("a-"), key("b-"), key("s-"));
    debug_assert_eq!(old.len(), KEY_LENGTH, "as long as a key");
    let (value, now) = ("v".repeat(VALUE), Epoch::now());
    let expires = now.plus(3_600);
    let session = |key: &str| Set::new("check", key, &*value, expires)?.under("check", &*subject);
    let replacing = |key: &str| session(key)?.replacing(&*old, Some(now.plus(10)));
    let read = |db: &mut Db<'_>, key: &str| made(Get::new(key, now))?.run(db);

    *step = "Saving a session with metadata";
    made(session(&old))?.run(db)?;
    *step = "Reading a session";
    match read(db, &old)? {
        None => return Ok(Some("A session that was just saved is not found.")),
        Some(read) if read != value => {
            return Ok(Some("A session is read other than it was saved."));
        }
        Some(_) => {}
    }
    *step = "Reading the sessions of a subject";
    let found = made(ReadMetadata::new("check", &*subject, now))?.run(db)?;
    if !found.iter().any(|(key, _)| *key == old) {
        return Ok(Some("A session that was just saved is not found by its subject."));
    }
    *step = "Saving a session in place of another one";
    made(replacing(&new))?.run(db)?;
    *step = "Deleting a session";
    made(Delete::new(&*new))?.run(db)?;
    if read(db, &new)?.is_some() {
        return Ok(Some("A session that was just deleted is still found."));
    }
    // What is otherwise checked at the end of a transaction.
    *step = "Checking deferred constraints";
    db.batch("SET CONSTRAINTS ALL IMMEDIATE")?;
    Ok(None)
}

/// An operation whose texts can be stored.
fn made<T>(operation: Result<T, Error>) -> Result<T, Fault> {
    operation.map_err(Fault::answer)
}
