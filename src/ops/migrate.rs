//! `migrate`: creates the tables, or changes older ones into what they should be.

use super::schema::findings;
use crate::Error;
use crate::db::types::TEXT;
use crate::db::{Db, Fault, Fixed};
use crate::op::ParamKind::Flag;
use crate::op::{Args, Group, Operation, Param, Spec};
use std::thread;
use std::time::Duration;

/// Creates missing tables, and repairs what [`super::Check`] finds about their structure.
#[derive(Default)]
pub struct Migrate {
    unlogged: bool,
}

impl Migrate {
    /// Where both tables are missing, new ones are unlogged: faster, and empty after a crash of the
    /// server. Where there is one of them it stays as it is, and the other one becomes like it.
    pub fn unlogged() -> Self {
        Migrate { unlogged: true }
    }
}

/// Before a step that met a lock is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until no other `migrate` is under way, and holds others up until the transaction ends.
const LOCK: Fixed = Fixed::reads("SELECT pg_catalog.pg_advisory_xact_lock({locks}, 17)", &[]);

/// A row where the user may add the time of creation to the table $1, and it is not there: no defect.
const LACKS_CREATED: Fixed = Fixed::reads(
    "SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass($1)::oid \
     AND relkind IN ('r', 'p') AND pg_catalog.pg_has_role(relowner, 'USAGE') AND NOT EXISTS ( \
       SELECT FROM pg_catalog.pg_attribute \
       WHERE attrelid = c.oid AND attname = 'created' AND NOT attisdropped)",
    &[TEXT],
);

/// Rows that are there already have none.
const ADD_CREATED: &str = "ALTER TABLE {sessions} ADD created timestamp with time zone; \
     ALTER TABLE {sessions} ALTER created SET DEFAULT now()";

impl Operation for Migrate {
    const SPEC: Spec = Spec {
        name: "migrate",
        group: Group::Administration,
        summary: "Create the tables, or change older ones into what they should be.",
        details: "It repairs what `check` finds about their structure, each finding in a transaction \
                  of its own, and changes nothing where nothing is to be done. Several may run at the \
                  same time: each waits for the one before.\n\n\
                  Saves wait while an index is made. On large tables that are in use, run the \
                  statements that `check` reports by hand, with `CONCURRENTLY` after `INDEX`.",
        params: &[Param::optional(
            "unlogged",
            Flag,
            "true creates unlogged tables: faster, and empty after a crash of the server",
        )],
        returns: "how many changes were made",
    };

    const LONG: bool = true;

    type Answer = u64;

    fn read(args: &Args<'_>) -> Result<Self, Error> {
        let unlogged = args.flag("unlogged")?;
        Ok(Migrate { unlogged })
    }

    fn run(&self, db: &mut Db<'_>) -> Result<u64, Fault> {
        let mut done = Vec::new();
        loop {
            let step = db.transaction(|db| self.step(db, &done));
            db.tables().forget_info();
            match step {
                Ok(Some(statement)) => done.push(statement),
                Ok(None) => return Ok(done.len() as u64),
                // What was done before stays done, and is counted.
                Err(fault) if fault.is_lock() && !done.is_empty() && db.time_left() > PAUSE => {
                    thread::sleep(PAUSE);
                }
                Err(fault) => return Err(fault),
            }
        }
    }
}

impl Migrate {
    /// Does the first thing that is to be done. Each has a transaction of its own, so that an index that
    /// took long to make is not made again because a later step fails.
    fn step(&self, db: &mut Db<'_>, done: &[String]) -> Result<Option<String>, Fault> {
        db.execute(&LOCK, &[])?;
        // The process that had the lock before may have changed the tables.
        db.tables().forget_info();
        let found = findings(db, self.unlogged)?.into_iter().filter(|finding| finding.structural);
        let mut statements: Vec<String> = found.filter_map(|finding| finding.repair).collect();
        let [sessions, _] = db.tables().names();
        if !db.query(&LACKS_CREATED, &[&sessions])?.is_empty() {
            statements.push(db.tables().fill_in(ADD_CREATED));
        }
        let next = statements.into_iter().find(|next| !done.contains(next));
        if let Some(statement) = &next {
            db.batch(statement)?;
        }
        Ok(next)
    }
}
