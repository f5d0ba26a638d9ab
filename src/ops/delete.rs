//! `delete`: ends a session by its key.

use super::end::{Metadata, end};
use crate::Error;
use crate::db::{Db, End, Fault, Tables};
use crate::op::ParamKind::Pairs;
use crate::op::{self, Answers, Args, Group, Operation, Param, Spec, Value};

/// Deletes a session and its metadata.
pub struct Delete {
    key: String,
}

impl Delete {
    /// The session of that key; it is no error where there is none.
    pub fn new(key: impl Into<String>) -> Result<Self, Error> {
        let key = op::key("key", key)?;
        Ok(Delete { key })
    }
}

/// Ends the sessions of these keys.
fn delete(keys: Vec<&str>, db: &mut Db<'_>) -> Result<(), Fault> {
    let delete = |db: &mut Db<'_>| end(keys, End::Deleted, Metadata::Deleted, db).map(drop);
    // Several statements, there.
    match db.table_info()?.distributed {
        true => db.transaction(delete),
        false => delete(db),
    }
}

impl Operation for Delete {
    const SPEC: Spec = Spec {
        name: "delete",
        group: Group::Storage,
        summary: "Delete a session and its metadata.",
        details: "It is no error where there is no such session. For `ended_ttl`, a save that replaces it \
                  is refused.",
        params: &[
            Param::UNUSED_NAME,
            Param::KEY,
            Param::CURRENT_TIME,
            Param::optional(
                "metadata",
                Pairs,
                "not used: all metadata of a session is deleted with it",
            ),
        ],
        returns: "true",
    };

    const WRITES: bool = true;

    type Answer = ();

    /// Upstream's documentation has `delete(name, key, metadata)`, and its session layer calls
    /// `delete(name, key, current_time, metadata)`: a table may stand in the place of the time.
    fn read(args: &Args<'_>) -> Result<Self, Error> {
        if args.value("current_time")? != Value::Other("table") {
            args.current_time()?;
        }
        Delete::new(args.text("key")?)
    }

    fn keys(&self) -> [Option<&str>; 2] {
        [Some(&self.key), None]
    }

    fn batches(&self, _: &Tables) -> bool {
        true
    }

    fn run(&self, db: &mut Db<'_>) -> Result<(), Fault> {
        delete(vec![&self.key], db)
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<()>, Fault> {
        delete(batch.iter().map(|delete| &*delete.key).collect(), db)?;
        Ok(batch.iter().map(|_| Ok(())).collect())
    }
}
