//! What operations may ask of a connection: statements on their tables, transactions, and what is known
//! of the tables.

mod marks;
mod strangers;
mod tables;

pub(crate) use crate::pool::{Effect, Fault, LOCK_TIMEOUT, Retry, Sql, Verdict, column, types};
pub(crate) use marks::End;
pub use tables::Tables;
pub(crate) use tables::{Deletions, Fixed, Statement, TableInfo};

use crate::Error;
use crate::pool::{Connection, Params, StatementId};
use postgres::Row;
use postgres::types::FromSqlOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What [`TableInfo`] is read from. Parameters: the names of the sessions and of the metadata table.
const TABLE_INFO: Fixed = Fixed::reads(
    "SELECT meta.oid IS NOT NULL, meta.oid IS NOT NULL AND NOT ( \
       SELECT coalesce(pg_catalog.bool_and(confdeltype = 'c'), false) FROM pg_catalog.pg_constraint \
       WHERE contype = 'f' AND conrelid = meta.oid AND confrelid = pg_catalog.to_regclass($1::text)::oid), \
       pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL, \
       EXISTS (SELECT FROM pg_catalog.pg_class \
         WHERE oid = pg_catalog.to_regclass($1::text)::oid AND relkind = 'r'), \
       EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass($1::text)::oid \
         AND attname = 'created' AND atttypid = 'timestamptz'::regtype::oid AND NOT attisdropped), \
       (SELECT pg_catalog.count(DISTINCT attcollation) = 1 FROM pg_catalog.pg_attribute \
         WHERE attrelid IN (pg_catalog.to_regclass($1::text)::oid, meta.oid) AND attname = 'sid' \
         AND NOT attisdropped), \
       NOT EXISTS (SELECT FROM pg_catalog.pg_trigger \
         WHERE tgrelid = pg_catalog.to_regclass($1::text)::oid AND tgtype & 19 = 19) \
     FROM (SELECT pg_catalog.to_regclass($2::text)::oid AS oid) AS meta",
    &[types::TEXT, types::TEXT],
);

/// A connection and the tables that operations use it for.
pub struct Db<'a> {
    connection: &'a mut Connection,
    tables: &'a Arc<Tables>,
    /// No other operations wait for the connection.
    separate: bool,
    /// How many expired sessions the operation has deleted, if it is a clean-up.
    cleaned: Option<u64>,
    /// How many it could not delete.
    passed_over: u64,
    /// A transaction is open.
    in_transaction: bool,
}

impl<'a> Db<'a> {
    /// The operations that use it end before `until`, `timeout` after they began.
    pub(crate) fn new(
        connection: &'a mut Connection,
        tables: &'a Arc<Tables>,
        until: Instant,
        timeout: Duration,
        separate: bool,
    ) -> Self {
        connection.set_deadline(until, timeout);
        let in_transaction = false;
        Db { connection, tables, separate, cleaned: None, passed_over: 0, in_transaction }
    }

    /// Has the server end what was given up there. Comes first.
    pub(crate) fn end_given_up(&mut self) -> Result<(), Fault> {
        self.connection.end_given_up()
    }

    /// Whether the operation may take long: no others wait for the connection.
    pub(crate) fn is_separate(&self) -> bool {
        self.separate
    }

    pub(crate) fn tables(&self) -> &'a Arc<Tables> {
        self.tables
    }

    pub(crate) fn time_left(&self) -> Duration {
        self.connection.time_left()
    }

    /// Another process holds what the operation needs: it is tried again later.
    pub(crate) fn locked(&self, reason: &str) -> Fault {
        Fault::locked(self.connection.timeout, reason)
    }

    /// The operation's time is up before it is done; the connection is fine.
    pub(crate) fn out_of_time(&self) -> Fault {
        Fault::timed_out(&self.connection.server, self.connection.timeout)
    }

    /// Notes for the statistics that a clean-up has deleted so many sessions.
    pub(crate) fn note_cleaned(&mut self, count: u64) {
        self.cleaned = Some(self.cleaned.unwrap_or(0) + count);
    }

    pub(crate) fn cleaned(&self) -> Option<u64> {
        self.cleaned
    }

    /// Notes for the statistics that a clean-up could not delete a session.
    pub(crate) fn note_passed_over(&mut self) {
        self.passed_over += 1;
    }

    pub(crate) fn passed_over(&self) -> u64 {
        self.passed_over
    }

    fn id(&self, statement: &dyn Statement) -> StatementId {
        (self.tables.id, statement.id())
    }

    /// Runs a statement that answers rows.
    pub(crate) fn query(
        &mut self,
        statement: &dyn Statement,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let (id, tables) = (self.id(statement), self.tables);
        self.connection.query(id, || statement.sql(tables), params)
    }

    /// The same, each row as a tuple of its columns.
    pub(crate) fn rows<T: FromRow>(
        &mut self,
        statement: &dyn Statement,
        params: &Params<'_>,
    ) -> Result<Vec<T>, Fault> {
        let rows = self.query(statement, params)?;
        rows.iter().map(T::from_row).collect()
    }

    /// The same for a statement that answers one row.
    pub(crate) fn row<T: FromRow>(
        &mut self,
        statement: &dyn Statement,
        params: &Params<'_>,
    ) -> Result<T, Fault> {
        let row = self.rows(statement, params)?.pop();
        row.ok_or_else(|| Fault::undecodable("the server answered no row"))
    }

    pub(crate) fn execute(
        &mut self,
        statement: &dyn Statement,
        params: &Params<'_>,
    ) -> Result<(), Fault> {
        self.query(statement, params).map(drop)
    }

    /// Runs statements that have neither parameters nor rows.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        self.connection.batch(sql)
    }

    /// Runs the statements of `body` as one transaction: all of it takes place, or nothing. Within another
    /// transaction they are a part of that one.
    pub(crate) fn transaction<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.in_transaction {
            return body(self);
        }
        self.connection.begin()?;
        self.in_transaction = true;
        let result = body(self);
        self.in_transaction = false;
        self.connection.end(result)
    }

    /// Runs `body` in a transaction that is rolled back in any case.
    pub(crate) fn rolled_back<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut result = None;
        let ended = self.transaction(|db| {
            result = Some(body(db));
            Err::<(), _>(Fault::answer(Error::internal("rolled back on purpose")))
        });
        result
            .unwrap_or_else(|| Err(ended.err().unwrap_or_else(|| Fault::defect("no transaction"))))
    }

    /// Runs `body` outside of transactions, with an advisory lock of the tables and without a limit to how
    /// long it waits for locks of others. Behind a pooler, where nothing may be left in the server's session,
    /// it runs without that lock.
    pub(crate) fn outside_transactions<T>(
        &mut self,
        lock: i32,
        body: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if !self.connection.keeps_settings() {
            return body(self);
        }
        let lock = format!("({}, {lock})", self.tables.locks());
        self.batch(&format!("SELECT pg_catalog.pg_advisory_lock{lock}"))?;
        let result = self.batch("SET lock_timeout = 0").and_then(|()| body(self));
        let undo = format!("RESET lock_timeout; SELECT pg_catalog.pg_advisory_unlock{lock}");
        if self.batch(&undo).is_err() {
            self.connection.mark_broken();
        }
        result
    }

    pub(crate) fn table_info(&mut self) -> Result<TableInfo, Fault> {
        if let Some(known) = self.tables.known.get() {
            return Ok(known);
        }
        let [sessions, metadata] = self.tables.names();
        let (
            has_metadata,
            leaves_metadata,
            distributed,
            is_table,
            has_created,
            same_order,
            no_triggers,
        ) = self.row(&TABLE_INFO, &[&sessions, &metadata])?;
        let info = TableInfo {
            has_metadata,
            leaves_metadata,
            distributed,
            is_plain: is_table && !distributed,
            has_created,
            same_order,
            updates_tell: is_table && no_triggers,
        };
        self.tables.known.set(Some(info));
        Ok(info)
    }
}

/// A row, as a tuple of its columns.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &Row) -> Result<Self, Fault>;
}

macro_rules! tuples {
    ($(($($column:ident $place:tt),+))+) => {$(
        impl<$($column: FromSqlOwned),+> FromRow for ($($column,)+) {
            fn from_row(row: &Row) -> Result<Self, Fault> {
                Ok(($(column(row, $place)?,)+))
            }
        }
    )+};
}

tuples! {
    (A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5) (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
}

/// The texts of a column that all rows have first.
pub(crate) fn texts(rows: &[Row]) -> Result<Vec<&str>, Fault> {
    rows.iter().map(|row| column(row, 0)).collect()
}
