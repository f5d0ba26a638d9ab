//! `delete`: ends a session by its key.

use crate::Error;
use crate::db::types::TEXTS;
use crate::db::{Db, Fault, Fixed, Tables};
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

/// Answers for each session that was deleted whether it was alive.
const DELETE: Fixed = Fixed::answers(
    "DELETE FROM {sessions} WHERE sid::text = ANY ($1) \
     RETURNING coalesce(exp >= pg_catalog.date_trunc('second', pg_catalog.now()), false)",
    &[TEXTS],
);

/// The same for tables that do not delete metadata by themselves.
const DELETE_WITH_METADATA: Fixed =
    Fixed { with: "metadata AS (DELETE FROM {metadata} WHERE sid::text = ANY ($1))", ..DELETE };

/// Deletes sessions with their metadata. Returns how many of them were alive on the database's clock.
pub(super) fn delete(keys: Vec<&str>, db: &mut Db<'_>) -> Result<u64, Fault> {
    match db.table_info()?.leaves_metadata {
        true => delete_with_metadata(keys, db),
        false => run(&DELETE, keys, db),
    }
}

/// The same, and deletes metadata of these keys also where there is no such session.
pub(super) fn delete_with_metadata(keys: Vec<&str>, db: &mut Db<'_>) -> Result<u64, Fault> {
    run(&DELETE_WITH_METADATA, keys, db)
}

fn run(statement: &Fixed, mut keys: Vec<&str>, db: &mut Db<'_>) -> Result<u64, Fault> {
    // Statements that share rows lock them in the same order.
    keys.sort_unstable();
    let deleted: Vec<(bool,)> = db.rows(statement, &[&keys])?;
    Ok(deleted.iter().filter(|(alive,)| *alive).count() as u64)
}

impl Operation for Delete {
    const SPEC: Spec = Spec {
        name: "delete",
        group: Group::Storage,
        summary: "Delete a session and its metadata.",
        details: "It is no error where there is no such session.",
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
        delete(vec![&self.key], db).map(drop)
    }

    fn run_batch(batch: &[&Self], db: &mut Db<'_>) -> Result<Answers<()>, Fault> {
        delete(batch.iter().map(|delete| &*delete.key).collect(), db)?;
        Ok(batch.iter().map(|_| Ok(())).collect())
    }
}
